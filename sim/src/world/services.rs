//! The simulated services of a world, for its faults to strike.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::fault::{Fault, FaultHandle, FaultId, Service, ServiceFault};

/// Every service with its Region, and which fault of the plan is in force where.
#[derive(Debug, Default)]
pub(crate) struct Services {
    handles: Vec<(Service, String, FaultHandle)>,
    begun: BTreeMap<u32, Vec<(FaultHandle, FaultId)>>,
}

impl Services {
    pub(super) fn add(&mut self, service: Service, region: String, handle: FaultHandle) {
        self.handles.push((service, region, handle));
    }

    /// Refuses a fault of a service that is not here.
    pub(crate) fn check(&self, fault: &Fault) -> Result<(), Error> {
        match fault {
            Fault::Service { service, region, .. } if self.at(*service, region).next().is_none() => {
                let known = self
                    .handles
                    .iter()
                    .map(|(service, region, _)| format!("{service} in {region}"));
                Err(Error::UnknownService {
                    service: *service,
                    region: region.clone(),
                    known: known.collect(),
                })
            }
            _ => Ok(()),
        }
    }

    fn at<'a>(&'a self, service: Service, region: &'a str) -> impl Iterator<Item = &'a FaultHandle> {
        let here = move |(kind, place, _): &&(Service, String, FaultHandle)| {
            *kind == service && (region == "*" || place == region)
        };
        self.handles.iter().filter(here).map(|(_, _, handle)| handle)
    }

    pub(crate) fn begin(&mut self, index: u32, service: Service, region: &str, fault: &ServiceFault) {
        // Checked before the plan was accepted, so that every handle takes it.
        let begun = self.at(service, region).filter_map(|handle| {
            let id = handle.begin(fault.clone()).ok()?;
            Some((handle.clone(), id))
        });
        let begun = begun.collect();
        self.begun.insert(index, begun);
    }

    pub(crate) fn end(&mut self, index: u32) {
        for (handle, id) in self.begun.get(&index).into_iter().flatten() {
            handle.end(*id);
        }
    }

    pub(crate) fn bites(&self, index: u32) -> u64 {
        let begun = self.begun.get(&index).into_iter().flatten();
        begun.map(|(handle, id)| handle.bites(*id)).sum()
    }
}
