//! More connections than the limit on descriptors that a process is started with.

use tokio::net::TcpStream;

use crate::process::Place;

#[tokio::test(flavor = "multi_thread")]
async fn more_clients_are_served_than_the_soft_limit_on_descriptors_would_let_in() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    place.run(&["tenant", "create", "acme", "--plan", "unlimited"]).await;
    let key = place.run_json(&["key", "create", "acme"]).await["key"].as_str().unwrap().to_owned();
    let process = place.start_with_descriptors("standalone", 128).await;
    let address = process.url.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    // Its connection stands in line behind all of these.
    assert_eq!(process.client(Some(&key)).post_ids(0..10).await.status, 202);
    assert!(process.stop().await.success());
}
