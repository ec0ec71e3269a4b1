//! Sensible conversations, damaged: cut off at any byte, bytes changed, messages lost, repeated, swapped or too long.

use std::time::Duration;

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::{Index, select},
};

use super::{
    garbage::{both, run},
    listen,
    messages::{bind, close, describe, execute, parse, sync},
    query, started,
};
use crate::servers::Database;

/// Long enough for a server that means to answer.
const SILENCE: Duration = Duration::from_millis(5);

/// A step that is in order inside a transaction, as messages.
fn step() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let statement = select(vec![
        "update item set value = value + 1000 where id = 1",
        "select * from item for update",
        "insert into item values (3, 30) on conflict do nothing",
        "delete from item where id = 3",
        "savepoint s",
        "select pg_advisory_xact_lock(7)",
        "select repeat('x', 100) from generate_series(1, 200)",
    ]);
    let parameterised = select(vec![
        "update item set value = value + $1::int4 where id = 1",
        "select value from item where id = $1::int4 for share",
    ]);
    prop_oneof![
        statement.clone().prop_map(|sql| vec![query(sql)]),
        statement.prop_map(|sql| vec![
            parse("", sql, &[]),
            bind("", "", &[], &[], &[]),
            execute("", 0),
            sync()
        ]),
        (parameterised, any::<bool>()).prop_map(|(sql, binary)| {
            let value: &[u8] = if binary { &[0, 0, 0, 1] } else { b"1" };
            vec![
                parse("named", sql, &[]),
                describe('S', "named"),
                bind("p", "named", &[u16::from(binary)], &[value], &[1]),
                execute("p", 1),
                close('P', "p"),
                close('S', "named"),
                sync(),
            ]
        }),
    ]
}

/// A transaction that is never committed.
fn unfinished() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(step(), 1..5).prop_map(|steps| {
        std::iter::once(query("begin"))
            .chain(steps.into_iter().flatten())
            .collect()
    })
}

#[derive(Clone, Debug)]
enum Damage {
    Change(Index, u8),
    Lose(Index),
    Repeat(Index),
    Swap(Index, Index),
    /// The message claims to be this long.
    Length(Index, u32),
}

fn damage() -> impl Strategy<Value = Damage> {
    let length = prop_oneof![
        0..64u32,
        0x3fff_0000..0x4000_1000u32,
        any::<u32>(),
        Just(u32::MAX)
    ];
    prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        1 => any::<Index>().prop_map(Damage::Lose),
        1 => any::<Index>().prop_map(Damage::Repeat),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Damage::Swap(one, other)),
        2 => (any::<Index>(), length).prop_map(|(at, length)| Damage::Length(at, length)),
    ]
}

impl Damage {
    fn inflict(&self, messages: &mut Vec<Vec<u8>>) {
        let count = messages.len();
        match self {
            _ if count == 0 => {}
            Damage::Change(at, byte) => {
                let total: usize = messages.iter().map(Vec::len).sum();
                let bytes = messages.iter_mut().flatten();
                if let Some(changed) = bytes.into_iter().nth(at.index(total)) {
                    *changed = *byte;
                }
            }
            Damage::Lose(at) => drop(messages.remove(at.index(count))),
            Damage::Repeat(at) => messages.push(messages[at.index(count)].clone()),
            Damage::Swap(one, other) => messages.swap(one.index(count), other.index(count)),
            Damage::Length(at, length) => {
                messages[at.index(count)][1..5].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
}

fn value(database: &Database) -> i64 {
    let mut session = database.session();
    session.must("set statement_timeout = '10s'");
    let text = session
        .must("update item set value = value where id = 1 returning value")
        .single_text();
    session.close();
    text.parse().expect("a number")
}

#[test]
fn a_client_that_vanishes_at_any_byte_leaves_nothing_behind() {
    both(|database| {
        run(
            &database,
            (unfinished(), any::<Index>()),
            |database, (messages, cut)| {
                let before = value(database);
                let bytes = messages.concat();
                let mut link = started(database);
                link.send(&bytes[..cut.index(bytes.len() + 1)]).expect("it reads");
                // Some vanish before the server has done what they said, some after.
                if cut.index(2) == 0 {
                    listen(&mut link, SILENCE, &[]);
                }
                drop(link);
                assert_eq!(value(database), before, "of a transaction that nobody committed");
            },
        );
    });
}

#[test]
fn a_damaged_conversation_harms_nobody_else() {
    both(|database| {
        run(
            &database,
            (unfinished(), vec(damage(), 1..6)),
            |database, (mut messages, damages)| {
                damages.iter().for_each(|damage| damage.inflict(&mut messages));
                let mut link = started(database);
                for message in messages {
                    // The server may have thrown us out already.
                    let _ = link.send(&message);
                }
                listen(&mut link, SILENCE, &[]);
            },
        );
    });
}

/// The two above rest on this: a lock or a change that stayed would be seen.
#[test]
#[should_panic(expected = "of a transaction that nobody committed")]
fn a_committed_change_would_be_seen() {
    both(|database| {
        run(&database, Just(()), |database, ()| {
            let before = value(database);
            let mut link = started(database);
            link.send(&query("update item set value = value + 1 where id = 1"))
                .expect("it reads");
            listen(&mut link, SILENCE, &["C(UPDATE 1)", "Z"]);
            assert_eq!(value(database), before, "of a transaction that nobody committed");
        });
    });
}
