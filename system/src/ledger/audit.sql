-- One line for each thing that is wrong with the books, read from the legs alone: no projection is trusted.
with side as (
    select tenant_id, debit_account_id as account_id, phase, amount as debit, 0::int8 as credit from leg
    union all
    select tenant_id, credit_account_id, phase, 0, amount from leg
), folded as (
    select tenant_id, account_id,
           coalesce(sum(debit) filter (where phase = 'posted'), 0) as debits_posted,
           coalesce(sum(credit) filter (where phase = 'posted'), 0) as credits_posted,
           coalesce(sum(case phase when 'pending' then debit when 'released' then -debit end), 0) as debits_pending,
           coalesce(sum(case phase when 'pending' then credit when 'released' then -credit end), 0) as credits_pending,
           count(*) as version
    from side group by tenant_id, account_id
)
select 'account ' || a.account_id || ' is not the fold of its legs' from account a
left join folded f on f.tenant_id = a.tenant_id and f.account_id = a.account_id
where a.debits_posted <> coalesce(f.debits_posted, 0) or a.credits_posted <> coalesce(f.credits_posted, 0)
   or a.debits_pending <> coalesce(f.debits_pending, 0) or a.credits_pending <> coalesce(f.credits_pending, 0)
   or a.version <> coalesce(f.version, 0)
union all
select 'the books in ' || currency || ' sum to ' || sum(credits_posted - debits_posted) from account
group by tenant_id, currency having sum(credits_posted - debits_posted) <> 0
union all
select 'account ' || account_id || ' is overdrawn' from account
where role <> 'clearing' and credits_posted - debits_posted - debits_pending + overdraft_limit < 0
union all
select 'payment ' || p.payment_id || ' has ' || count(o.seq) || ' events of ' || p.events from payment p
left join outbox o on o.tenant_id = p.tenant_id and o.payment_id = p.payment_id
group by p.payment_id, p.events having count(o.seq) <> p.events
union all
select 'payment ' || p.payment_id || ' is ' || p.state || ' with nothing under way' from payment p
where p.state in ('pending', 'verifying', 'paying_out')
  and not exists (select from operation o where o.tenant_id = p.tenant_id and o.payment_id = p.payment_id and o.state = 'pending')
union all
select 'account ' || a.account_id || ' holds ' || a.credits_posted - a.debits_posted || ' in escrow, settlements under way '
       || coalesce(sum(p.amount), 0) from account a
left join payment p on p.tenant_id = a.tenant_id and p.currency = a.currency and p.kind = 'settlement'
 and not exists (select from transfer t where t.tenant_id = p.tenant_id and t.payment_id = p.payment_id
                 and t.step in ('release', 'reverse'))
where a.role = 'escrow' group by a.account_id, a.credits_posted, a.debits_posted
having a.credits_posted - a.debits_posted <> coalesce(sum(p.amount), 0)
union all
select 'transfer ' || t.transfer_id || ' has no legs' from transfer t
where not exists (select from leg l where l.tenant_id = t.tenant_id and l.transfer_id = t.transfer_id)
