-- The ledger. Facts (transfer, leg, request) are only ever inserted; account, payment and operation are their projections
-- and the state of work, kept in the same transaction.

create table tenant (
    tenant_id   uuid primary key,
    name        text not null,
    created_at  timestamptz not null default now()
);

-- Who may speak for a tenant. The key itself is known to its holder alone.
create table api_key (
    key_hash    bytea primary key,
    tenant_id   uuid not null references tenant,
    operator    bool not null default false,
    expires_at  timestamptz not null
);

-- One row. A writer names the epoch that it believes in, in every transaction, and holds the row while it commits:
-- raising the epoch therefore waits for the writers of the old one, and none of them commits afterwards.
create table writer_epoch (
    epoch   int8 primary key check (epoch > 0),
    region  text not null,
    since   timestamptz not null default now()
);

-- One row: when the writer last took a write, by its controller's clock. On a replica it tells how far that is behind.
create table heartbeat (
    one  bool primary key default true check (one),
    at   timestamptz not null
);

create table account (
    tenant_id        uuid not null references tenant,
    account_id       uuid not null,
    role             text not null check (role in ('wallet', 'clearing', 'escrow', 'fees')),
    currency         char(3) not null,
    overdraft_limit  int8 not null default 0 check (overdraft_limit >= 0),
    opened_at        timestamptz not null,
    frozen           bool not null default false,
    debits_posted    int8 not null default 0 check (debits_posted >= 0),
    credits_posted   int8 not null default 0 check (credits_posted >= 0),
    debits_pending   int8 not null default 0 check (debits_pending >= 0),
    credits_pending  int8 not null default 0 check (credits_pending >= 0),
    -- Counts the legs booked here: the place of each in the account's statement.
    version          int8 not null default 0,
    primary key (tenant_id, account_id),
    -- What a leg refers to: both its accounts are of its currency and its tenant.
    unique (tenant_id, account_id, currency)
);

create table payment (
    tenant_id        uuid not null,
    payment_id       uuid not null,
    kind             text not null check (kind in ('charge', 'settlement')),
    state            text not null check (state in ('pending', 'authorized', 'captured', 'voided', 'declined',
                         'verifying', 'paying_out', 'settled', 'reversed', 'limbo')),
    currency         char(3) not null,
    amount           int8 not null check (amount > 0),
    -- Of a settlement: what the platform keeps of the amount.
    fee              int8 not null default 0 check (fee >= 0 and fee < amount),
    -- Who is credited by a charge, or by a settlement.
    payee_id         uuid not null,
    -- Who pays a settlement; a charge is paid through the payment service provider.
    payer_id         uuid,
    -- A token of the provider's vault, never a card number.
    instrument       text not null,
    authorized       int8 not null default 0 check (authorized >= 0),
    captured         int8 not null default 0 check (captured >= 0 and captured <= authorized),
    refunded         int8 not null default 0 check (refunded >= 0 and refunded <= captured),
    version          int8 not null,
    -- Events so far: the place of the last one in the payment's sequence.
    events           int4 not null default 0,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    primary key (tenant_id, payment_id),
    foreign key (tenant_id, payee_id, currency) references account (tenant_id, account_id, currency),
    foreign key (tenant_id, payer_id, currency) references account (tenant_id, account_id, currency)
);

-- Work outside the ledger: a row is durable before the call, and names the call by a key that follows from the row's own.
create table operation (
    tenant_id        uuid not null,
    payment_id       uuid not null,
    kind             text not null check (kind in ('authorize', 'sale', 'capture', 'void', 'refund', 'verify', 'payout')),
    seq              int4 not null check (seq > 0),
    amount           int8 not null check (amount > 0),
    state            text not null check (state in ('pending', 'succeeded', 'declined', 'limbo')),
    -- Of the dependency: its own name for what it did, or its reason for not doing it.
    reference        text,
    -- The request that waits for the outcome; none when the system itself started the operation.
    idempotency_key  text,
    -- Who may settle the outcome: raised each time that the work is taken over.
    fence            int8 not null default 1,
    attempts         int4 not null default 1,
    lease_until      timestamptz not null,
    created_at       timestamptz not null,
    primary key (tenant_id, payment_id, kind, seq),
    foreign key (tenant_id, payment_id) references payment (tenant_id, payment_id)
);

-- What the workers look for: unfinished work by the time at which its lease ends.
create index operation_due on operation (lease_until) where state = 'pending';
-- One thing at a time is done with a payment.
create unique index operation_alone on operation (tenant_id, payment_id) where state in ('pending', 'limbo');
-- What a webhook names.
create index operation_named on operation (payment_id) where state = 'pending';
create index operation_limbo on operation (tenant_id, created_at) where state = 'limbo';

create table transfer (
    tenant_id    uuid not null references tenant,
    transfer_id  uuid not null,
    payment_id   uuid not null,
    step         text not null,
    seq          int4 not null,
    epoch        int8 not null,
    posted_at    timestamptz not null,
    primary key (tenant_id, transfer_id),
    -- A step of a payment is booked once, for good.
    constraint transfer_once unique (tenant_id, payment_id, step, seq),
    foreign key (tenant_id, payment_id) references payment (tenant_id, payment_id)
);

-- An amount from one account to another: unbalanced books cannot be written down.
create table leg (
    tenant_id          uuid not null,
    transfer_id        uuid not null,
    leg                int2 not null check (leg > 0),
    -- posted: money moved. pending: it is set aside. released: what was set aside no longer is.
    phase              text not null check (phase in ('posted', 'pending', 'released')),
    debit_account_id   uuid not null,
    credit_account_id  uuid not null,
    currency           char(3) not null,
    amount             int8 not null check (amount > 0),
    debit_version      int8 not null,
    credit_version     int8 not null,
    primary key (tenant_id, transfer_id, leg),
    check (debit_account_id <> credit_account_id),
    foreign key (tenant_id, transfer_id) references transfer (tenant_id, transfer_id),
    foreign key (tenant_id, debit_account_id, currency) references account (tenant_id, account_id, currency),
    foreign key (tenant_id, credit_account_id, currency) references account (tenant_id, account_id, currency)
);

create unique index leg_debit on leg (tenant_id, debit_account_id, debit_version);
create unique index leg_credit on leg (tenant_id, credit_account_id, credit_version);

-- A mutation that a client asked for, under the client's own name for it, and its answer once there is one.
create table request (
    tenant_id        uuid not null references tenant,
    idempotency_key  text not null,
    fingerprint      bytea not null,
    -- What it concerns: a payment or an account.
    subject_id       uuid not null,
    status           int2,
    body             text,
    created_at       timestamptz not null,
    primary key (tenant_id, idempotency_key),
    check ((status is null) = (body is null))
);

create table outbox (
    tenant_id     uuid not null,
    payment_id    uuid not null,
    seq           int4 not null check (seq > 0),
    event_type    text not null,
    body          text not null,
    -- Who made the change: the steps of a payment can be told apart by them.
    region        text not null,
    epoch         int8 not null,
    -- parked: EventBridge will not have it. It and what follows it on its payment wait for an operator.
    state         text not null default 'pending' check (state in ('pending', 'published', 'parked')),
    -- How often this very row was refused; an outage of the broker does not count.
    attempts      int4 not null default 0,
    -- Not before: the lease of the relay that has it, or the pause after a refusal.
    due_at        timestamptz,
    created_at    timestamptz not null,
    published_at  timestamptz,
    primary key (tenant_id, payment_id, seq)
);

create index outbox_due on outbox (created_at, payment_id, seq) where state = 'pending';

-- What a subscriber has taken in: added in the transaction of the effect, never changed. The primary key refuses a second
-- effect; an event is taken in only after its predecessor. `place` is the order on each payment.
create table inbox (
    subscriber   text not null,
    tenant_id    uuid not null,
    payment_id   uuid not null,
    seq          int4 not null check (seq > 0),
    place        int8 generated always as identity,
    taken_in_at  timestamptz not null,
    primary key (subscriber, tenant_id, payment_id, seq)
);

-- Effects. They refer to nothing: their subscribers know events only, and could keep them elsewhere.

-- What a tenant is to be told of.
create table notification (
    tenant_id    uuid not null,
    payment_id   uuid not null,
    seq          int4 not null,
    event_type   text not null,
    body         text not null,
    created_at   timestamptz not null
);

create index notification_feed on notification (tenant_id, payment_id, seq);

-- Money that moved, a receipt each.
create table receipt (
    tenant_id    uuid not null,
    payment_id   uuid not null,
    seq          int4 not null,
    kind         text not null check (kind in ('captured', 'refunded', 'settled')),
    account_id   uuid not null,
    currency     char(3) not null,
    amount       int8 not null check (amount > 0),
    issued_at    timestamptz not null
);

create index receipt_of on receipt (tenant_id, payment_id, seq);

-- The read model: what a tenant's payments moved, by day.
create table volume (
    tenant_id    uuid not null,
    day          date not null,
    currency     char(3) not null,
    captured     int8 not null check (captured >= 0),
    refunded     int8 not null check (refunded >= 0),
    settled      int8 not null check (settled >= 0),
    events       int8 not null check (events > 0),
    primary key (tenant_id, day, currency)
);

-- The gateways' role. It reads and adds; it changes projections and the state of work, never a fact.
grant select on tenant, api_key, writer_epoch, account, payment, operation, transfer, leg, request, outbox to payments_service;
-- To hold the epoch's row, a privilege to change it is needed; `for key share` is all that is done with it.
grant update (since) on writer_epoch to payments_service;
grant insert on account, payment, operation, transfer, leg, request, outbox to payments_service;
grant update (frozen, debits_posted, credits_posted, debits_pending, credits_pending, version) on account to payments_service;
grant update (state, authorized, captured, refunded, version, events, updated_at) on payment to payments_service;
grant update (state, reference, fence, attempts, lease_until) on operation to payments_service;
grant update (status, body) on request to payments_service;

-- The role of relay, sweeper and reconciler: across tenants, but with no way to book.
grant select on tenant, writer_epoch, account, payment, operation, transfer, leg, request, outbox to payments_worker;
grant update (since) on writer_epoch to payments_worker;
grant update (fence, attempts, lease_until) on operation to payments_worker;
grant update (state, attempts, due_at, published_at) on outbox to payments_worker;
grant select on inbox to payments_worker;

-- The subscribers' role. It knows nothing of the ledger, and takes nothing back.
grant select, insert on inbox to payments_consumer;
grant insert on notification, receipt to payments_consumer;
grant select, insert, update on volume to payments_consumer;

-- The controller's role: it makes another Region the writer and shows that the writer is alive. It sees no books.
grant select, update on writer_epoch, heartbeat to payments_controller;
grant select on heartbeat to payments_service, payments_worker;

-- A gateway's transaction sees the tenants that it names and no other.
alter table account enable row level security;
alter table payment enable row level security;
alter table operation enable row level security;
alter table transfer enable row level security;
alter table leg enable row level security;
alter table request enable row level security;
alter table outbox enable row level security;

create policy service on account to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));
create policy service on payment to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));
create policy service on operation to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));
create policy service on transfer to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));
create policy service on leg to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));
create policy service on request to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));
create policy service on outbox to payments_service
    using (tenant_id = any ((select string_to_array(current_setting('app.tenants', true), ','))::uuid[]));

create policy worker on account for select to payments_worker using (true);
create policy worker on payment for select to payments_worker using (true);
create policy worker on operation to payments_worker using (true);
create policy worker on transfer for select to payments_worker using (true);
create policy worker on leg for select to payments_worker using (true);
create policy worker on request for select to payments_worker using (true);
create policy worker on outbox to payments_worker using (true);
