//! The time that a world takes, once it is under way.
//!
//! Measured: the loop and the programs, in CPU time of the world's thread. A world has one thread that never waits, so on a machine
//! with a core to spare this is real time; on one without, real time would tell of the neighbours. Not measured: making the
//! world and taking it down, which `worlds/start` shows.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sumzero_sim::{Outcome, World};

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    Duration::from(time)
}

/// How much true time is let pass first: programs start, connections are made, pools fill.
pub const WARM_UP: Duration = Duration::from_secs(10);

/// The time that `world` takes for this much true time.
pub fn time_for(world: World, simulated: Duration) -> (Duration, Outcome) {
    time(world, move |simulation| simulation.run_for(simulated))
}

/// The time that `world` takes until its clients are done.
pub fn time_until_done(world: World) -> Duration {
    time(world, |simulation| {
        simulation.run_until_done(Duration::from_secs(1 << 30))
    })
    .0
}

fn time(
    world: World,
    run: impl FnOnce(&mut sumzero_sim::Simulation) -> Result<(), sumzero_sim::Error> + Send + 'static,
) -> (Duration, Outcome) {
    let run = world.run(move |simulation| {
        simulation.run_until(WARM_UP)?;
        let started = cpu_time();
        run(simulation)?;
        Ok(cpu_time() - started)
    });
    let (took, outcome) = run.expect("the worlds of the benches run");
    (took, outcome.expect("the worlds of the benches run"))
}

/// The time that turmoil takes for this much simulated time of a simulation that is under way.
pub fn time_turmoil(mut simulation: turmoil::Sim<'_>, simulated: Duration) -> Duration {
    let mut run_until = |end: Duration| {
        while simulation.elapsed() < end {
            simulation.step().expect("the simulations of the benches run");
        }
    };
    let warm = Duration::from_millis(300);
    run_until(warm);
    let started = cpu_time();
    run_until(warm + simulated);
    cpu_time() - started
}
