//! What it costs when many have the live page open.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::admin::{admin_address, ask, until_ready, workers};
use super::harness::{Balancer, eventually};

/// A page that counts what happens.
struct Page {
    stream: TcpStream,
    happened: Arc<AtomicUsize>,
}

impl Page {
    fn open(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (lines, happened) = (BufReader::new(stream.try_clone().unwrap()), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&happened);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let ours =
                    line.matches("\"kind\":\"drained\"").count() + line.matches("\"kind\":\"undrained\"").count();
                count.fetch_add(ours, Ordering::Relaxed);
            }
        });
        Self { stream, happened }
    }

    fn seen(&self) -> usize {
        self.happened.load(Ordering::Relaxed)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

#[test]
fn twenty_open_pages_get_every_update_and_take_no_more_memory_and_no_more_descriptors() {
    let tables = format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", workers(2));
    let mut balancer = Balancer::start_by_small_pages("", &tables);
    until_ready(&balancer, 2);
    let address = admin_address(&mut balancer);
    let order = |order: &str| {
        let said = ask(&address, &format!("POST /api/{order}?endpoint=app/app.1 HTTP/1.0\r\n\r\n"));
        assert!(said.contains("\"code\":0"), "{said}");
    };
    let without = balancer.descriptors();
    let pages: Vec<Page> = (0..20).map(|_| Page::open(&address)).collect();
    let mut updates = 0;
    // What happens is told at once, while the status comes once a second.
    let mut update = |times: usize| {
        for _ in 0..times {
            order("drain");
            order("undrain");
        }
        updates += 2 * times;
        let slowest = || pages.iter().map(Page::seen).min().unwrap();
        eventually(
            || format!("{updates} updates at every page, not {}", slowest()),
            || (slowest() == updates).then_some(()),
        );
    };
    update(50);
    let (memory, descriptors) = (balancer.memory("VmRSS"), balancer.descriptors());
    update(400);
    let grown = balancer.memory("VmRSS").saturating_sub(memory);
    // 800 updates for each of 20: 64 bytes kept of each would be 1,000 KiB. The list of events itself keeps 120 bytes of each, once.
    assert!(grown < 768, "{grown} KiB more than {memory} KiB");
    // Connections of the last orders may be open a moment longer.
    eventually(
        || format!("{} descriptors, {descriptors} before", balancer.descriptors()),
        || (balancer.descriptors() <= descriptors).then_some(()),
    );
    drop(pages);
    eventually(
        || format!("{} descriptors, {without} without pages", balancer.descriptors()),
        || (balancer.descriptors() <= without).then_some(()),
    );
}
