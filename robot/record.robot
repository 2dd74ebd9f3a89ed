*** Settings ***
Documentation       The installed wheel and a running server, seen from outside.
Library             ${CURDIR}/Installation.py
Suite Setup         Install The Wheel
Suite Teardown      Remove The Installation


*** Variables ***
@{EXCHANGE}         ${{ {"role": "user", "content": "Is there a window seat?"} }}
...                 ${{ {"role": "assistant", "content": "Yes, 12A."} }}
&{CALL_OF_4O}       model=gpt-4o    input_tokens=${1000}    output_tokens=${50}
&{CALL_OF_MINI}     model=gpt-4o-mini    input_tokens=${300}    output_tokens=${10}


*** Test Cases ***
A Conversation Makes The Round Trip
    [Documentation]    What was acknowledged is there after a crash, word for word.
    Start The Server    round-trip
    Call    POST    /v1/sessions    ${{ {"session_id": "lisbon"} }}    201
    ${turn}=    Turn    turn-1    ${EXCHANGE}
    Call    POST    /v1/sessions/lisbon/turns    ${turn}    201
    Kill The Server
    ${url}=    Start The Server    round-trip
    ${session}=    Call    GET    /v1/sessions/lisbon
    Should Be Equal    ${session}[messages]    ${EXCHANGE}
    ${seen}=    Hansard Json    show    lisbon    --database    ${url}
    Should Be Equal    ${seen}[messages][1][message]    ${EXCHANGE}[1]
    Hansard    verify    lisbon    --database    ${url}
    [Teardown]    Kill The Server

Writers At The Same Time Keep Their Order
    [Documentation]    No number is given twice, none is left out.
    Start The Server    order
    Call    POST    /v1/sessions    ${{ {"session_id": "busy"} }}    201
    Many Writers Append    busy    writers=${8}    each=${25}
    ${page}=    Call    GET    /v1/sessions/busy/messages?limit=1000
    Order Should Be Kept    ${page}[messages]    writers=${8}    each=${25}
    ${verified}=    Call    GET    /v1/sessions/busy/verify
    Should Be True    ${verified}[ok]
    [Teardown]    Kill The Server

An Export Is Imported Elsewhere, Once, Unless It Is Damaged
    ${url}=    Start The Server    origin
    Call    PUT    /v1/sessions/lisbon    ${{ {"messages": $EXCHANGE} }}
    ${document}=    File    lisbon.json
    Hansard    export    lisbon    --database    ${url}    --output    ${document}
    ${damaged}=    File    damaged.json
    Damage    ${document}    ${damaged}    12A    12B
    ${elsewhere}=    Database    elsewhere
    Hansard    import    ${damaged}    --database    ${elsewhere}    code=${6}
    ${first}=    Hansard Json    import    ${document}    --database    ${elsewhere}
    ${second}=    Hansard Json    import    ${document}    --database    ${elsewhere}
    Should Be True    ${first}[sessions][0][created]
    Should Not Be True    ${second}[sessions][0][created]
    ${copy}=    Hansard Json    show    @last    --database    ${elsewhere}
    ${original}=    Call    GET    /v1/sessions/lisbon
    Should Be Equal    ${copy}[digest]    ${original}[digest]
    Should Not Be Equal    ${copy}[session_id]    ${original}[session_id]
    [Teardown]    Kill The Server

Tokens Are Counted Once
    [Documentation]    A turn sent again, since its answer was lost, does not cost again.
    ${url}=    Start The Server    tokens
    Call    POST    /v1/sessions    ${{ {"session_id": "costly"} }}    201
    ${first}=    Turn    turn-1    ${EXCHANGE}    ${CALL_OF_4O}    ${CALL_OF_MINI}
    ${second}=    Turn    turn-2    ${EXCHANGE}    ${CALL_OF_4O}
    ${told}=    Call    POST    /v1/sessions/costly/turns    ${first}    201
    ${again}=    Call    POST    /v1/sessions/costly/turns    ${first}    200
    Should Be Equal    ${told}    ${again}
    Call    POST    /v1/sessions/costly/turns    ${second}    201
    ${usage}=    Hansard Json    usage    costly    --database    ${url}
    Should Be Equal As Integers    ${usage}[usage][input_tokens]    2300
    Should Be Equal As Integers    ${usage}[usage][output_tokens]    110
    Should Be Equal As Integers    ${usage}[usage][calls]    3
    Length Should Be    ${usage}[models]    2
    [Teardown]    Kill The Server


*** Keywords ***
Turn
    [Documentation]    The body of a turn with model calls.
    [Arguments]    ${turn_id}    ${messages}    @{usage}
    VAR    &{body}    turn_id=${turn_id}    messages=${messages}    usage=${usage}
    RETURN    ${body}
