-- Expand: a new column that old code need not know, filled, then made fast to look up.
ALTER TABLE account ADD COLUMN code VARCHAR(10);
UPDATE account SET code = upper(left(name, 2)) WHERE code IS NULL;
CREATE UNIQUE INDEX account_code ON account (code) WHERE code IS NOT NULL;
