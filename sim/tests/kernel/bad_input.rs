//! Bad input is refused by name, and nothing happens.

use std::time::Duration;

use sumzero_sim::{Error, Fault, Host, Link, Plan, Skew, World};

use crate::support::{echo_server, secs};

fn world() -> World {
    World::new(1)
        .host(Host::new("gateway-1").region("us-east-1").run(echo_server))
        .host(Host::new("gateway-2").region("sa-east-1").run(echo_server))
}

fn refused(world: World) -> String {
    world.run_until(secs(1.0)).unwrap_err().to_string()
}

#[test]
fn an_empty_world() {
    assert!(matches!(
        World::new(1).run_until(secs(1.0)),
        Err(Error::EmptyWorld)
    ));
}

#[test]
fn a_host_without_a_program() {
    assert!(refused(world().host(Host::new("idle"))).contains("\"idle\" has no program"));
}

#[test]
fn two_hosts_with_one_name_or_one_address() {
    let twice = |a: Host, b: Host| refused(World::new(1).host(a.run(echo_server)).host(b.run(echo_server)));
    assert!(twice(Host::new("a"), Host::new("a")).contains("\"a\" is given twice"));
    assert!(twice(Host::new("a").region("b"), Host::new("b")).contains("\"b\" is given twice"));
    let told = twice(Host::new("a").ip([10, 9, 9, 9]), Host::new("b").ip([10, 9, 9, 9]));
    assert!(
        told.contains("\"a\" and \"b\" both have the address 10.9.9.9"),
        "{told}"
    );
    assert!(
        twice(Host::new("a").ip([127, 0, 0, 1]), Host::new("b"))
            .contains("cannot have the address 127.0.0.1")
    );
}

#[test]
fn an_unknown_place_with_the_nearest_known_one() {
    let told = refused(world().fault(Fault::partition("us-east1", "sa-east-1").at(secs(1.0))));
    assert_eq!(
        told,
        "fault 0 of the plan: no host, zone or Region is named \"us-east1\"; did you mean \"us-east-1\"?"
    );
    let told = refused(world().fault(Fault::region_loss("gateway-1").at(secs(1.0))));
    assert!(told.contains("no Region is named \"gateway-1\""), "{told}");
    let told = refused(world().link("gateway-1", "gatway-2", Link::delay(secs(0.1))));
    assert!(told.contains("did you mean \"gateway-2\""), "{told}");
}

#[test]
fn values_out_of_range() {
    let loss = |loss_percent| Fault::NetworkPacketLoss {
        from: "*".into(),
        to: "*".into(),
        loss_percent,
        one_way: false,
    };
    for (fault, told) in [
        (loss(100.0), "loss_percent is 100, but must be 0 to 99"),
        (loss(f64::NAN), "loss_percent is NaN"),
        (
            Fault::ClockDrift {
                place: "*".into(),
                ppm: 1_000_000,
            },
            "ppm is 1000000, but must be -200000 to 200000",
        ),
        (
            Fault::clock_jump("*", Skew::behind(Duration::from_secs(1 << 40))),
            "at most 10 years",
        ),
        (
            Fault::partition("gateway-1", "gateway-1"),
            "must be another place than `from`",
        ),
    ] {
        let heard = refused(world().fault(fault.at(secs(1.0))));
        assert!(heard.contains(told), "{heard}");
    }
    let told = refused(
        world().fault(
            Fault::clock_jump("*", Skew::ahead(secs(1.0)))
                .at(secs(1.0))
                .lasting(secs(1.0)),
        ),
    );
    assert!(told.contains("lasting is 1s, but must be absent"), "{told}");
    let told = refused(world().link("*", "*", Link::delay(secs(0.1)).loss(2.0)));
    assert!(told.contains("loss is 2, but must be 0 to 1"), "{told}");
}

#[test]
fn plans_that_cannot_be_read() {
    for (text, told) in [
        (
            r#"[{"at":"-5s","fault":{"process-kill":{"place":"a"}}}]"#,
            "\"-5s\" is negative",
        ),
        (
            r#"[{"at":"5 parsecs","fault":{"process-kill":{"place":"a"}}}]"#,
            "not a duration",
        ),
        (
            r#"[{"at":"5s","fault":{"process-kil":{"place":"a"}}}]"#,
            "unknown variant `process-kil`",
        ),
        (
            r#"[{"at":"5s","fault":{"process-kill":{"place":"a","signal":9}}}]"#,
            "unknown field `signal`",
        ),
        (r#"[{"at":"5s"}]"#, "missing field `fault`"),
        ("[", "EOF"),
    ] {
        let heard = Plan::from_json(text).unwrap_err().to_string();
        assert!(heard.contains(told), "{text}: {heard}");
    }
}

#[test]
fn a_fault_injected_later_is_checked_as_well() {
    let error = world().run(|simulation| {
        simulation.run_until(secs(1.0))?;
        simulation.inject(Fault::kill("gateway-3").at(secs(2.0)))
    });
    assert!(matches!(error, Err(Error::Fault { index: 0, .. })));
}

#[test]
fn a_plan_reads_as_it_is_written() {
    let plan = Plan {
        faults: vec![
            Fault::partition_one_way("a", "b")
                .at(secs(1.5))
                .lasting(secs(2.0)),
            Fault::clock_offset("c", Skew::behind(secs(6.0))).at(secs(0.0)),
        ],
    };
    assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan);
    assert!(
        plan.to_json()
            .contains(r#"{"at":"1s 500ms","lasting":"2s","fault":{"partition":"#),
        "{}",
        plan.to_json()
    );
}
