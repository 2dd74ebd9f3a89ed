-- Whether the usage of a hold's call is in the ledger, whatever its state: a call without a price
-- is counted, and what it may have cost stays held until somebody says what it was.
ALTER TABLE holds ADD COLUMN counted BOOLEAN NOT NULL DEFAULT FALSE;

UPDATE holds SET counted = TRUE WHERE state = 'settled';
