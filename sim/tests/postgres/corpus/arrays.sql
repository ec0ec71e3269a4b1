-- Arrays of scalars, mostly as parameters: = any, unnest, and the functions around them.
select array[1, 2, 3], array['a', 'b'], array[]::int4[], array[1, null], array[1.5, 2], array[true, false];
select '{1,2,3}'::int4[], '{a,"b c",NULL,"NULL",""}'::text[], '{}'::text[], '{{1,2},{3,4}}'::int4[];
select '{1,x}'::int4[];
select '{1,2'::int4[];
select '1,2'::int4[];
select (array[10, 20, 30])[2], (array[10, 20, 30])[5], (array[1, 2, 3])[0], (array[1, 2, 3, 4])[2:3];
select 2 = any (array[1, 2]), 3 = any (array[1, 2]), 3 = any (array[1, null]), 1 = all (array[1, 1]), 1 <> all (array[2, 3]), 1 = any ('{}'::int4[]);
select 5 > any (array[4, 9]), 5 < all (array[6, 7]), 'a' = any ('{a,b}'), null = any (array[1]);
select array_length(array[1, 2, 3], 1), array_length('{}'::int4[], 1), cardinality(array[1, 2]), cardinality('{}'::int4[]), array_ndims(array[1]), array_upper(array[1, 2], 1);
select array_append(array[1], 2), array_prepend(0, array[1]), array_cat(array[1], array[2]), array[1] || 2, 0 || array[1], array[1] || array[2, 3];
select array_remove(array[1, 2, 1], 1), array_replace(array[1, 2], 2, 5), array_position(array['a', 'b'], 'b'), array_positions(array[1, 2, 1], 1);
select array[1, 2] @> array[1], array[1] <@ array[1, 2], array[1, 2] && array[2, 3], array[1, 2] = array[1, 2], array[1, 2] < array[1, 3];
select array_agg(x order by x desc), array_agg(distinct x) from (values (1), (2), (2)) v(x);
select array_agg(x) from (values (1)) v(x) where x > 5;
select array(select x from (values (3), (1)) v(x) order by x);
select unnest(array[1, 2, 3]);
select * from unnest(array[1, 2], array['a', 'b', 'c']) as u(n, t);
select * from unnest(array['x', 'y']) with ordinality as u(v, i) order by i;
select u.* from unnest('{3,1,2}'::int4[]) u order by 1;
select x from unnest(array[1, null, 2]) x where x is not null order by x;
select array[1, 2]::text, array['a b', 'c,d', null, 'e"f']::text, array[1, 2]::text[], '{1,2}'::text::int4[];
select array[1, 2]::int8[], array['1', '2']::int4[], array[now()] is not null;
select array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']::uuid[], '{2024-01-01}'::date[], '{"\\x01"}'::bytea[];
create table tag (id int4 primary key, names text[], ns int8[] not null default '{}');
insert into tag values (1, '{a,b}', '{1,2}'), (2, array['c'], array[3]), (3, null, '{}');
insert into tag (id, names) values (4, array['x', null]);
insert into tag (id, ns) values (5, '{a}');
select * from tag order by id;
select id from tag where 'a' = any (names);
select id from tag where names @> array['c'];
select id from tag where 2 = any (ns);
select id, names[1], cardinality(ns) from tag order by id;
update tag set names = names || 'z', ns = ns || 9::int8 where id = 1 returning *;
update tag set ns = array_remove(ns, 9) where id = 1 returning ns;
select id, n from tag, unnest(ns) as n order by id, n;
--@ bind {1,2}
select id from tag where id = any ($1) order by id;
--@ bind {1,2}
select id from tag where id = any ($1::int4[]) order by id;
--@ bind {}
select id from tag where id = any ($1) order by id;
--@ bind null
select id from tag where id = any ($1) order by id;
--@ bind {1,oops}
select id from tag where id = any ($1) order by id;
--@ bind {1,2}
select id from tag where id <> all ($1) order by id;
--@ bind {10,11,12} | {x,y,null}
insert into tag (id, names) select id, array[name] from unnest($1::int4[], $2::text[]) as u(id, name) returning *;
--@ bind {20,21} | {5,6}
insert into tag (id, ns) select i, array[n] from unnest($1::int4[]) with ordinality a(i, o) join unnest($2::int8[]) with ordinality b(n, p) on o = p returning id, ns;
--@ bind {1.5,2.25}
select sum(x) from unnest($1::numeric[]) x;
--@ bind {a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,null}
select x from unnest($1::uuid[]) x;
--@ bind {"{\"a\": 1}","2"}
select x -> 'a' from unnest($1::jsonb[]) x;
--@ bind {2024-01-01 00:00:00+00}
select x from unnest($1::timestamptz[]) x;
--@ bind {t,f,null}
select x, not x from unnest($1::bool[]) x;
--@ bind {"\\x0102"}
select x from unnest($1::bytea[]) x;
--@ bind {a,b} | b
select array_position($1::text[], $2);
delete from tag where id = any (array[10, 11]) returning id;
update tag t set names = array[u.n] from unnest(array[1, 2], array['one', 'two']) u(i, n) where t.id = u.i returning t.id, t.names;
