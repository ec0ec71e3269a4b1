//! Two processes are killed at random moments under load, in turn, and started again. In the end, what the provider took is what the
//! ledger says, and whoever was told that a payment succeeded finds it.

use std::sync::Arc;

use scenarios::externals::{Behaviour, Kind};

use crate::{
    shop::{Shop, await_answers, verdict},
    system::{Client, Process, Surroundings, unreliable},
};

/// Clients at a time.
const CLIENTS: u64 = 16;
/// Processes that serve them.
const PROCESSES: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_it_loses_nothing_and_takes_nothing_twice() {
    let kills: u32 =
        std::env::var("PAYMENTS_TEST_KILLS").map_or(200, |kills| kills.parse().expect("a number"));
    let surroundings = tokio::task::spawn_blocking(|| Surroundings::start("fsync = on"))
        .await
        .unwrap();
    let shop = Arc::new(Shop::default());
    let start = || {
        let process = surroundings.process(&[]);
        let client = Client::new(process.address, &surroundings.api_key);
        (process, client)
    };
    let (mut processes, clients): (Vec<_>, Vec<_>) = (0..PROCESSES).map(|_| start()).unzip();
    *shop.clients.lock().unwrap() = clients;
    surroundings.psp.behave(unreliable());
    surroundings.kyc.behave(unreliable());
    let traders = shop.open(CLIENTS).await;
    for number in 0..kills {
        await_answers(&shop, fastrand::u32(0..12)).await;
        let place = number as usize % PROCESSES;
        let (process, client) = tokio::task::block_in_place(|| {
            processes.remove(place).kill();
            start()
        });
        processes.insert(place, process);
        shop.clients.lock().unwrap()[place] = client;
    }
    // The last faults are over; everything must come to its end.
    surroundings.psp.behave(Behaviour::default());
    surroundings.kyc.behave(Behaviour::default());
    let (history, answers) = shop.close(traders, &surroundings).await;
    let effects = history.effects.clone();
    assert!(processes.into_iter().all(Process::terminate));
    println!(
        "{kills} kills, {} answers, {} effects at the provider; clients heard {:?}",
        answers,
        effects.len(),
        shop.heard.lock().unwrap()
    );

    // The verdict can be another: an effect too many, one too few.
    let mut twice = history.clone();
    twice.effects.push(effects[0].clone());
    assert!(!verdict(&twice).is_empty());
    let mut lost = history;
    let sale = effects.iter().position(|effect| effect.kind == Kind::Sale);
    lost.effects.remove(sale.expect("there were sales"));
    assert!(!verdict(&lost).is_empty());
}
