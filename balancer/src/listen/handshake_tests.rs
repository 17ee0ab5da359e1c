//! How many handshakes a thread has at once.

use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Waker};

use tokio::runtime::LocalOptions;

use super::*;
use crate::net::Family;

#[test]
fn one_handshake_more_than_there_may_be_ends_the_one_that_has_taken_longest() {
    let shaking = Shaking::new(&Arc::default());
    let alarms: Vec<Rc<Alarm>> = (0..=HANDSHAKES_MAX).map(|_| Rc::default()).collect();
    let mut entered: Vec<Option<Entered<'_>>> =
        alarms[..HANDSHAKES_MAX].iter().map(|alarm| Some(shaking.enter(alarm))).collect();
    assert!(alarms.iter().all(|alarm| !alarm.is_dismissed()), "as many as there may be");
    // The first is done, the second is the one that has taken longest then.
    entered[0] = None;
    let _last = shaking.enter(&alarms[0]);
    assert!(alarms.iter().all(|alarm| !alarm.is_dismissed()), "one has made room");
    let _one_more = shaking.enter(&alarms[HANDSHAKES_MAX]);
    let dismissed = alarms.iter().enumerate().filter(|(_, alarm)| alarm.is_dismissed()).map(|(index, _)| index);
    assert_eq!(dismissed.collect::<Vec<_>>(), [1]);
    assert_eq!(shaking.alarms.borrow().len(), HANDSHAKES_MAX);
    drop(entered);
    assert_eq!(shaking.alarms.borrow().len(), 2, "who is done takes no place");
}

#[test]
fn a_handshake_that_has_to_make_room_ends_at_once() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let shaking = Shaking::new(&Arc::default());
        let (ours, _client) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (alarm, mut cx) = (Rc::new(Alarm::default()), Context::from_waker(Waker::noop()));
        let socket = Socket::bare(ours.into(), Family::Unix);
        let mut steps = pin!(shaking.with((socket, Buffer::default(), Peer::Unix), &alarm));
        assert!(steps.as_mut().poll(&mut cx).is_pending());
        let others: Vec<Rc<Alarm>> = (0..HANDSHAKES_MAX).map(|_| Rc::default()).collect();
        let _entered: Vec<Entered<'_>> = others.iter().map(|alarm| shaking.enter(alarm)).collect();
        assert!(matches!(steps.as_mut().poll(&mut cx), Poll::Ready(Err(Failed::Ended))));
    });
}
