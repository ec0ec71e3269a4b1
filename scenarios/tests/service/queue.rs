//! A queue of the simulated SQS, as its owner sees it.

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region},
};

pub(crate) struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    pub(crate) fn new(endpoint: &str, name: &str) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Self {
            client: Client::from_conf(config),
            url: format!("{endpoint}/000000000000/{name}"),
        }
    }

    pub(crate) async fn send(&self, body: &str) {
        let send = self.client.send_message().queue_url(&self.url).message_body(body);
        send.send().await.unwrap();
    }

    /// The bodies of the messages that are there, which stay.
    pub(crate) async fn bodies(&self) -> Vec<String> {
        let receive = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10);
        let received = receive.visibility_timeout(0).send().await.unwrap();
        let bodies = received.messages().iter().filter_map(|message| message.body());
        bodies.map(str::to_owned).collect()
    }

    /// Takes out what arrives until nothing does any more.
    pub(crate) async fn receive_and_delete_all(&self) {
        let mut taken = 0;
        loop {
            let receive = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(10);
            let received = receive.wait_time_seconds(2).send().await.unwrap();
            if received.messages().is_empty() {
                assert!(taken > 0, "the queue was empty");
                return;
            }
            for message in received.messages() {
                let handle = message.receipt_handle().unwrap();
                let delete = self
                    .client
                    .delete_message()
                    .queue_url(&self.url)
                    .receipt_handle(handle);
                delete.send().await.unwrap();
                taken += 1;
            }
        }
    }
}
