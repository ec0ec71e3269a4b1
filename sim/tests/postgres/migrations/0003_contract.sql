-- Contract: what everyone writes by now becomes a rule.
ALTER TABLE account ALTER COLUMN code SET NOT NULL;
ALTER TABLE account DROP COLUMN name;
ALTER TABLE entry ADD CONSTRAINT small CHECK (amount BETWEEN -1000000 AND 1000000) NOT VALID;
ALTER TABLE entry VALIDATE CONSTRAINT small;
