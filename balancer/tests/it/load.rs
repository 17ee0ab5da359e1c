//! Many at once.

use super::harness::{Balancer, Client, Message, Origin, eventually, pool_of};

#[test]
fn two_thousand_connections_at_once_each_get_an_answer() {
    let balancer = Balancer::start(
        "",
        &format!("[pool.app.workers]\ncommand = [{BALANCER:?}, \"backend\", \"{{port}}\"]\ncount = 2\n"),
    );
    eventually(|| "a ready worker".into(), || (Client::of(&balancer).get("/").status() == 200).then_some(()));
    // All are open before the first one asks.
    let mut clients: Vec<Client> = (0..2_000).map(|_| Client::of(&balancer)).collect();
    for round in 0..2 {
        for client in &mut clients {
            client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let bad: Vec<Message> =
            clients.iter_mut().map(Client::response).filter(|response| response.status() != 200).collect();
        assert!(bad.is_empty(), "round {round}: {} bad ones, such as {:?}", bad.len(), bad[0]);
    }
}

#[test]
fn five_hundred_slow_connections_do_not_stop_the_others() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    let mut slow: Vec<Client> = (0..500).map(|_| Client::of(&balancer)).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        // Half of them in a header section, half in a body.
        let part = ["GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nha"][number % 2];
        client.send(part);
    }
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(Client::of(&balancer).get("/").status(), 200);
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(["st: a\r\n\r\n", "lf!"][number % 2]);
        assert_eq!(client.response().status(), 200, "and they are served as well");
    }
}

#[test]
fn many_clients_with_many_requests_each_get_their_own_answers() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(super::harness::ok(request.target()));
        }
    });
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut client = Client::of(balancer);
                for number in 0..200 {
                    let target = format!("/{thread}/{number}");
                    let response = client.get(&target);
                    assert_eq!((response.status(), response.text()), (200, target));
                    if number % 50 == 49 {
                        client = Client::of(balancer);
                    }
                }
            });
        }
    });
}

const BALANCER: &str = env!("CARGO_BIN_EXE_balancer");
