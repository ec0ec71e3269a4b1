//! A machine's own disk: what survives what.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

use sumzero_sim::{Disk, Fault, Host, World};

use crate::support::{Log, secs};

/// Runs a program that writes a file, syncs some of it and writes more; a fault; and the program again, which reads.
fn after(fault: Fault) -> Vec<String> {
    let log = Log::default();
    let lines = log.clone();
    World::new(1)
        .host(Host::new("store").run(move || {
            let log = lines.clone();
            async move {
                match fs::read_to_string("/data/journal") {
                    Ok(found) => log.add(format!("found {found:?}")),
                    Err(error) => log.add(format!("{:?}", error.kind())),
                }
                let mut file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open("/data/journal")?;
                file.write_all(b"synced;")?;
                file.sync_all()?;
                file.write_all(b"only written;")?;
                std::future::pending::<std::io::Result<()>>().await
            }
        }))
        .fault(fault.at(secs(1.0)).lasting(secs(1.0)))
        .run_until(secs(5.0))
        .unwrap();
    log.lines()
}

#[test]
fn a_killed_process_finds_all_that_it_wrote() {
    assert_eq!(
        after(Fault::kill("store")),
        ["NotFound", "found \"synced;only written;\""]
    );
}

#[test]
fn a_lost_machine_finds_what_it_synced() {
    assert_eq!(
        after(Fault::machine_loss("store", Disk::Kept)),
        ["NotFound", "found \"synced;\""]
    );
}

#[test]
fn a_machine_lost_with_its_disk_finds_nothing() {
    assert_eq!(
        after(Fault::machine_loss("store", Disk::Lost)),
        ["NotFound", "NotFound"]
    );
}

/// A session with files, told line by line; the same on a real disk and on a simulated one.
fn session(root: &str, log: &Log) -> std::io::Result<()> {
    let path = |name: &str| format!("{root}/{name}");
    fs::create_dir(path("d"))?;
    fs::create_dir_all(path("d/e/f"))?;
    log.add(format!(
        "{:?}",
        fs::create_dir(path("d")).map_err(|error| error.kind())
    ));
    fs::write(path("d/b"), "second")?;
    fs::write(path("d/a"), "first")?;
    let mut names: Vec<String> = fs::read_dir(path("d"))?
        .map(|entry| Ok(entry?.file_name().into_string().unwrap()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    log.add(names.join(" "));
    let mut file = OpenOptions::new().read(true).write(true).open(path("d/a"))?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b" and more")?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    log.add(&text);
    log.add(file.metadata()?.len());
    file.set_len(5)?;
    file.seek(SeekFrom::Start(8))?;
    file.write_all(b"!")?;
    file.sync_data()?;
    log.add(format!("{:?}", fs::read(path("d/a"))?));
    log.add(format!("{:?}", fs::metadata(path("d"))?.is_dir()));
    fs::rename(path("d/a"), path("d/b"))?;
    log.add(format!(
        "{:?}",
        fs::read_to_string(path("d/a")).map_err(|error| error.kind())
    ));
    log.add(format!("{:?}", fs::metadata(path("d/b"))?.len()));
    fs::remove_file(path("d/b"))?;
    log.add(format!("unlinked, still open: {:?}", file.metadata()?.len()));
    log.add(format!(
        "{:?}",
        File::options()
            .create_new(true)
            .write(true)
            .open(path("d/n"))
            .is_ok()
    ));
    log.add(format!(
        "{:?}",
        File::options()
            .create_new(true)
            .write(true)
            .open(path("d/n"))
            .map(|_| ())
            .map_err(|error| error.kind())
    ));
    log.add(format!(
        "{:?}",
        fs::remove_dir(path("d")).map_err(|error| error.kind())
    ));
    log.add(format!(
        "{:?}",
        File::create(path("missing/x"))
            .map(|_| ())
            .map_err(|error| error.kind())
    ));
    log.add(format!("{:?}", fs::exists(path("d/e/f"))?));
    Ok(())
}

#[test]
fn files_behave_as_on_a_real_disk() {
    let real = Log::default();
    let root = std::env::temp_dir().join(format!("sumzero-disk-{}", std::process::id()));
    fs::create_dir(&root).unwrap();
    let told = session(root.to_str().unwrap(), &real);
    fs::remove_dir_all(&root).unwrap();
    told.unwrap();

    let simulated = Log::default();
    let lines = simulated.clone();
    World::new(1)
        .client(Host::new("store").run(move || {
            let told = session("/data", &lines);
            async move { told }
        }))
        .run_until_done(secs(1.0))
        .unwrap();
    assert_eq!(simulated.lines(), real.lines());
}

#[test]
fn hosts_do_not_see_each_others_disks_and_can_read_the_real_one() {
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    World::new(1)
        .client(Host::new("a").run(move || {
            fs::write("/data/mine", "a").unwrap();
            a.add(fs::read_to_string("/etc/passwd").is_ok());
            async {}
        }))
        .client(Host::new("b").run(move || {
            b.add(fs::exists("/data/mine").unwrap());
            async {}
        }))
        .run_until_done(secs(1.0))
        .unwrap();
    assert_eq!(log.lines(), ["true", "false"]);
    assert!(!fs::exists("/data/mine").unwrap());
}
