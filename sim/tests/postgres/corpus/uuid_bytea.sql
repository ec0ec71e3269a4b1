-- uuid and bytea.
select 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid;
select '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'::uuid, 'a0eebc999c0b4ef8bb6d6bb9bd380a11'::uuid;
select 'not-a-uuid'::uuid;
select 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1'::uuid;
select ''::uuid;
select 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid;
select 'a0000000-0000-0000-0000-000000000000'::uuid < 'b0000000-0000-0000-0000-000000000000'::uuid;
select 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid::text || '!';
--@ volatile
select gen_random_uuid();
select gen_random_uuid() <> gen_random_uuid(), length(gen_random_uuid()::text), substr(gen_random_uuid()::text, 15, 1);
select '\x00ff'::bytea, 'abc'::bytea, '\x'::bytea, 'a\\b'::bytea, 'a\001'::bytea;
select '\xzz'::bytea;
select '\x0'::bytea;
select length('\x00ff10'::bytea), octet_length('abc'::bytea), '\x01'::bytea || '\x02'::bytea;
select '\x01'::bytea < '\x02'::bytea, '\x01'::bytea = '\x0100'::bytea, '\x'::bytea < '\x00'::bytea;
select encode('\xdeadbeef'::bytea, 'hex'), encode('\xdeadbeef'::bytea, 'base64'), decode('3q2+7w==', 'base64'), decode('dead', 'hex');
select decode('xyz', 'hex');
select substring('\x010203'::bytea from 2 for 1), get_byte('\x010203'::bytea, 1), set_byte('\x010203'::bytea, 1, 255);
select sha256('abc'::bytea), md5('abc'::bytea);
select convert_to('äb', 'UTF8'), convert_from('\x6162'::bytea, 'UTF8');
select convert_from('\xff'::bytea, 'UTF8');
create table k (id uuid primary key default gen_random_uuid(), body bytea, note text);
insert into k values ('00000000-0000-0000-0000-000000000001', '\x0102', 'one');
insert into k values ('00000000-0000-0000-0000-000000000002', 'raw', 'two'), ('00000000-0000-0000-0000-00000000000A', null, 'ten');
insert into k values ('00000000-0000-0000-0000-000000000001', '\x', 'again');
insert into k values ('oops', '\x', 'bad');
--@ volatile
insert into k (note) values ('generated') returning id;
select count(*), count(distinct id) from k;
select * from k where note <> 'generated' order by id;
select note from k where id = '00000000-0000-0000-0000-000000000002';
select note from k where id in ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-00000000000a') order by id;
select note from k where id > '00000000-0000-0000-0000-000000000001' and note <> 'generated' order by id desc;
select note from k where body = '\x0102';
select note, length(body) from k where body is not null order by note;
update k set body = body || '\xff' where note = 'one' returning body;
delete from k where id = '00000000-0000-0000-0000-000000000001' returning note;
--@ bind 00000000-0000-0000-0000-000000000002
select note from k where id = $1;
--@ bind 00000000-0000-0000-0000-000000000002
select note from k where id = $1::uuid;
--@ bind not-a-uuid
select note from k where id = $1;
--@ bind \x726177
select note from k where body = $1;
select max(id::text) from k where note <> 'generated';
