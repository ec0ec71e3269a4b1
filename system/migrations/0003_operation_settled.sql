-- Expand: the reconciler's window, whether `settled_at` is filled in or not. Interrupted, it leaves an index that is marked
-- invalid: drop that, then migrate again.
create index concurrently operation_settled
    on operation (coalesce(settled_at, created_at), tenant_id, payment_id, kind, seq)
    where state in ('succeeded', 'declined');
