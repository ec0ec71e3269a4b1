//! Real time that a world takes, once it is under way.
//!
//! Measured: the loop and the programs. Not measured: making the world and taking it down, which `worlds/start` shows.

use std::time::{Duration, Instant};

use sumzero_sim::{Outcome, World};

/// How much true time is let pass first: programs start, connections are made, pools fill.
pub const WARM_UP: Duration = Duration::from_secs(10);

/// The real time that `world` takes for this much true time.
pub fn time_for(world: World, simulated: Duration) -> (Duration, Outcome) {
    time(world, move |simulation| simulation.run_for(simulated))
}

/// The real time that `world` takes until its clients are done.
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
        let started = Instant::now();
        run(simulation)?;
        Ok(started.elapsed())
    });
    let (took, outcome) = run.expect("the worlds of the benches run");
    (took, outcome.expect("the worlds of the benches run"))
}

/// The real time that turmoil takes for this much simulated time of a simulation that is under way.
pub fn time_turmoil(mut simulation: turmoil::Sim<'_>, simulated: Duration) -> Duration {
    let mut run_until = |end: Duration| {
        while simulation.elapsed() < end {
            simulation.step().expect("the simulations of the benches run");
        }
    };
    let warm = Duration::from_millis(300);
    run_until(warm);
    let started = Instant::now();
    run_until(warm + simulated);
    started.elapsed()
}
