//! The simulated services on real localhost ports, for any AWS SDK or the AWS CLI: the library side of `sumzero local`.
//!
//! Each Region has a server of its own for each service, and the environment variables that point a client there. To add a
//! service, add a line to [`serve`], under its feature. SQS and EventBridge are always there. Nothing outlives the process.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What to serve and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Regions. Default: us-east-1, us-east-2, us-west-2.
    pub regions: Vec<String>,
    /// The address to listen on. Default 127.0.0.1.
    pub host: IpAddr,
    /// The first of consecutive ports; none takes whatever is free. Default none.
    pub first_port: Option<u16>,
    /// Decides ids and the draws of faults. Default 0.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            regions: ["us-east-1", "us-east-2", "us-west-2"].map(str::to_owned).into(),
            host: Ipv4Addr::LOCALHOST.into(),
            first_port: None,
            seed: 0,
        }
    }
}

/// Services being served. Dropped, they stop; [`Local::stop`] also waits until their ports are free.
#[derive(Debug)]
pub struct Local {
    host: IpAddr,
    next_port: Option<u16>,
    environments: BTreeMap<String, BTreeMap<String, String>>,
    serving: JoinSet<io::Result<()>>,
}

/// Starts every service that this build has, for every Region.
///
/// # Errors
/// A port that is taken.
pub async fn serve(options: Options) -> io::Result<Local> {
    let mut local = Local {
        host: options.host,
        next_port: options.first_port,
        environments: BTreeMap::new(),
        serving: JoinSet::new(),
    };
    for region in &options.regions {
        local.sign_as(region);
        local.messaging(region, options.seed).await?;
    }
    #[cfg(feature = "routing")]
    local.routing(&options).await?;
    Ok(local)
}

impl Local {
    /// The environment variables for a client in a Region; none if it is not served.
    pub fn environment(&self, region: &str) -> Option<&BTreeMap<String, String>> {
        self.environments.get(region)
    }

    /// The environment variables for clients in each Region.
    pub fn environments(&self) -> &BTreeMap<String, BTreeMap<String, String>> {
        &self.environments
    }

    /// Runs until a service ends, which none does by itself.
    ///
    /// # Errors
    /// As the service's.
    pub async fn ended(&mut self) -> io::Result<()> {
        match self.serving.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(broken)) => Err(io::Error::other(broken)),
            None => Ok(()),
        }
    }

    /// Stops listening, and returns once every port is free again.
    pub async fn stop(mut self) {
        self.serving.shutdown().await;
    }

    /// Lets clients in a Region sign, with credentials that mean nothing.
    fn sign_as(&mut self, region: &str) {
        for (variable, value) in [
            ("AWS_REGION", region),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ] {
            self.set(region, variable, value);
        }
    }

    fn set(&mut self, region: &str, variable: &str, value: &str) {
        self.environments
            .entry(region.to_owned())
            .or_default()
            .insert(variable.to_owned(), value.to_owned());
    }

    async fn listen(&mut self) -> io::Result<(TcpListener, SocketAddr)> {
        let port = self.next_port.unwrap_or(0);
        let listener = TcpListener::bind((self.host, port)).await?;
        self.next_port = self.next_port.map(|port| port.saturating_add(1));
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// Serves one service to a Region's clients and sets its variable: `AWS_ENDPOINT_URL_DYNAMODB`.
    async fn start<F>(
        &mut self,
        region: &str,
        variable: &str,
        serve: impl FnOnce(TcpListener) -> F,
    ) -> io::Result<SocketAddr>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (listener, address) = self.listen().await?;
        self.serving.spawn(serve(listener));
        self.set(region, variable, &format!("http://{address}"));
        Ok(address)
    }

    async fn messaging(&mut self, region: &str, seed: u64) -> io::Result<()> {
        use super::{eventbridge, sqs};
        let queues = sqs::Sqs::new(sqs::Options {
            seed,
            ..sqs::Options::new(region)
        });
        let queues = self
            .start(region, "AWS_ENDPOINT_URL_SQS", |listener| queues.serve(listener))
            .await?;
        let options = eventbridge::Options {
            seed,
            ..eventbridge::Options::new(region, queues)
        };
        let buses = eventbridge::EventBridge::new(options);
        self.start(region, "AWS_ENDPOINT_URL_EVENTBRIDGE", |listener| {
            buses.serve(listener)
        })
        .await?;
        Ok(())
    }

    /// One cluster for all Regions: its five endpoints, with a control for each Region served. Every Region's clients are
    /// pointed at the first; `SUMZERO_ROUTING_ENDPOINTS` lists them all, as `REGION=URL` with commas between.
    #[cfg(feature = "routing")]
    async fn routing(&mut self, options: &Options) -> io::Result<()> {
        use super::routing::{self, Configuration, Endpoint};
        const REGIONS: [&str; 5] = [
            "us-east-1",
            "us-west-2",
            "eu-west-1",
            "ap-northeast-1",
            "ap-southeast-2",
        ];
        let configuration = Configuration::of_controls(options.regions.iter().map(String::as_str));
        let mut members = Vec::new();
        for _ in REGIONS {
            members.push(self.listen().await?);
        }
        let addresses: Vec<SocketAddr> = members.iter().map(|(_, address)| *address).collect();
        let mut urls = Vec::new();
        for ((member, region), (peers, _)) in (0..).zip(REGIONS).zip(members) {
            let (clients, address) = self.listen().await?;
            let options = routing::Options {
                seed: options.seed,
                ..routing::Options::new(region, member, addresses.clone(), configuration.clone())
            };
            let endpoint = Endpoint::new(options).map_err(io::Error::other)?;
            self.serving.spawn(endpoint.serve(clients, peers));
            urls.push(format!("{region}=http://{address}"));
        }
        let first = urls[0]
            .split_once('=')
            .map(|(_, url)| url.to_owned())
            .unwrap_or_default();
        for region in &options.regions {
            self.set(region, "AWS_ENDPOINT_URL_ROUTE53_RECOVERY_CLUSTER", &first);
            self.set(region, "SUMZERO_ROUTING_ENDPOINTS", &urls.join(","));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_region_has_ports_of_its_own_and_stopping_frees_them() {
        let local = serve(Options::default()).await.expect("free ports");
        let mut urls = Vec::new();
        for (region, environment) in local.environments() {
            assert_eq!(environment["AWS_REGION"], *region);
            for variable in ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_EVENTBRIDGE"] {
                urls.push(environment[variable].clone());
            }
        }
        urls.sort();
        urls.dedup();
        assert_eq!(urls.len(), 6);
        let address = urls[0].strip_prefix("http://").expect("a URL").to_owned();
        assert!(TcpListener::bind(&address).await.is_err(), "taken");
        local.stop().await;
        TcpListener::bind(&address).await.expect("free again");
    }
}
