-- Contract: from here on, an outcome without its time is refused. What was there is looked at by the next step.
set local lock_timeout = '2s';
drop index operation_unstamped;
alter table operation add constraint operation_settled_at
    check ((settled_at is not null) = (state in ('succeeded', 'declined'))) not valid;
