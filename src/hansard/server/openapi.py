"""The OpenAPI 3.1 document, made from the endpoint table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final

import msgspec
from msgspec import Struct

from hansard.server.answers import Failure
from hansard.server.bodies import Id
from hansard.server.endpoint import Body, Endpoint

Json = dict[str, Any]

REF: Final = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(\w+)\}")


def document(endpoints: Sequence[Endpoint], *, version: str, secured: bool) -> Json:
    """Describe the API of a ``version``; ``secured`` says whether it takes credentials."""
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, secured=secured)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    shapes: set[type[Struct]] = {Failure}
    for endpoint in endpoints:
        shapes.add(endpoint.failure)
        shapes |= {each for each in (endpoint.answer, endpoint.else_answer) if each}
        shapes |= {endpoint.body.shape} if endpoint.body and endpoint.body.shape else set()
    components: Json = {"schemas": _schemas(shapes)}
    if secured:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hansard",
            "description": "The record of AI agents: what was said, what was done, what it cost.",
            "version": version,
        },
        "paths": paths,
        "components": components,
    }


def _operation(endpoint: Endpoint, *, secured: bool) -> Json:
    operation: Json = {
        "operationId": endpoint.name,
        "tags": [endpoint.noun],
        "summary": endpoint.summary,
        "description": cleandoc(endpoint.handler.__doc__ or ""),
        "parameters": [*_path(endpoint), *_query(endpoint), *_headers(endpoint)],
        "responses": _responses(endpoint, secured=secured),
    }
    if endpoint.body is not None:
        operation["requestBody"] = _request_body(endpoint.body)
    if secured and not endpoint.open:
        operation["security"] = [{"bearer": []}]
    return operation


def _path(endpoint: Endpoint) -> Iterable[Json]:
    for name in _PARAMETER.findall(endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(Id)}


def _query(endpoint: Endpoint) -> Iterable[Json]:
    shape = _schemas({endpoint.query})[endpoint.query.__name__]
    for name, schema in shape["properties"].items():
        yield {"name": name, "in": "query", "required": False, "schema": _present(schema)}


def _headers(endpoint: Endpoint) -> Iterable[Json]:
    for header in endpoint.headers:
        yield {
            "name": header.name,
            "in": "header",
            "required": False,
            "description": header.text,
            "schema": {"type": "string", "pattern": header.pattern},
        }


def _request_body(body: Body) -> Json:
    schema = {} if body.shape is None else {"schema": _ref(body.shape)}
    types = sorted(name.decode() for name in body.media_types if name)
    return {"required": body.required, "content": dict.fromkeys(types, schema)}


def _responses(endpoint: Endpoint, *, secured: bool) -> Json:
    content: Json = {endpoint.media_type: {}}
    if endpoint.answer is not None:
        one = _ref(endpoint.answer)
        if endpoint.else_answer is not None:
            one = {"anyOf": [one, _ref(endpoint.else_answer)]}
        schema = {"type": "array", "items": one} if endpoint.listed else one
        content[endpoint.media_type]["schema"] = schema
    empty = endpoint.method == "HEAD" or endpoint.status == HTTPStatus.NO_CONTENT
    responses: Json = {}
    for status, text in ((endpoint.status, "Done."), *endpoint.also):
        responses[str(status)] = {"description": text} | ({} if empty else {"content": content})
    failure: Json = (
        {}
        if endpoint.method == "HEAD"
        else {"content": {"application/json": {"schema": _ref(endpoint.failure)}}}
    )
    for status in _failures(endpoint, secured=secured):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, **failure}
    return responses


def _failures(endpoint: Endpoint, *, secured: bool) -> Sequence[int]:
    """Statuses of failure: those of the row, and those that follow from the rest of it."""
    statuses = {*endpoint.errors, HTTPStatus.SERVICE_UNAVAILABLE}
    if endpoint.body is not None:
        statuses |= {408, 413, 415, 422}
    if "{" in endpoint.path or not endpoint.safe or endpoint.query.__struct_fields__:
        statuses.add(HTTPStatus.UNPROCESSABLE_ENTITY)
    if "{thread_id}" in endpoint.path:
        statuses |= {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}
    if secured and not endpoint.open:
        statuses.add(HTTPStatus.UNAUTHORIZED)
    return sorted(statuses)


def _present(schema: Mapping[str, Any]) -> Json:
    """The schema of a parameter where it is given; it may be absent, never null."""
    options = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
    return {**rest, **options[0]}


def _schemas(shapes: Iterable[type[Struct]]) -> dict[str, Json]:
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REF + "{name}")
    for schema in components.values():
        schema["description"] = cleandoc(schema.get("description", ""))
        if not schema.get("required"):
            schema.pop("required", None)
    return components


def _ref(shape: type[Struct]) -> Json:
    return {"$ref": f"{REF}{shape.__name__}"}
