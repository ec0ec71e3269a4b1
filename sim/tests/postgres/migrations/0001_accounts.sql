-- Several statements in one migration, a default, a check.
CREATE TABLE account (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE entry (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account (id),
    amount BIGINT NOT NULL CONSTRAINT amount_not_zero CHECK (amount <> 0)
);

CREATE INDEX entry_account ON entry (account_id);

INSERT INTO account (id, name) VALUES (1, 'cash'), (2, 'fees');
