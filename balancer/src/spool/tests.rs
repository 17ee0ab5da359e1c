use std::future::poll_fn;
use std::path::Path;

use super::*;
use crate::net::Buffer;

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("balancer-spool-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

async fn write(file: &mut File, piece: &[u8]) -> Result<(), Buffer> {
    file.push(Buffer::copy_of(piece))?;
    poll_fn(|cx| file.poll_written(cx)).await
}

async fn read(file: &mut File) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = poll_fn(|cx| file.poll_next(cx)).await.unwrap() {
        all.extend_from_slice(piece.unread());
    }
    all
}

fn names_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn what_was_written_is_read_as_often_as_need_be_and_has_no_name() {
    let directory = directory("again");
    let spool = Spool::start(directory.clone(), 1 << 20).unwrap();
    let (mut one, mut other) = (spool.file(None), spool.file(None));
    let piece = |byte: u8| vec![byte; 50_000];
    for byte in 0..4 {
        write(&mut one, &piece(byte)).await.unwrap();
        write(&mut other, &piece(byte + 100)).await.unwrap();
    }
    assert_eq!((one.len(), names_in(&directory)), (200_000, 0));
    let all = |first: u8| (first..first + 4).flat_map(piece).collect::<Vec<u8>>();
    assert!(read(&mut one).await == all(0) && read(&mut other).await == all(100));
    one.rewind();
    poll_fn(|cx| one.poll_next(cx)).await.unwrap();
    // In the middle, with a piece asked for.
    let _ = one.poll_next(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    one.rewind();
    assert!(read(&mut one).await == all(0));
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn what_does_not_fit_comes_back_and_what_is_dropped_makes_room() {
    let directory = directory("full");
    let spool = Spool::start(directory.clone(), 100_000).unwrap();
    let mut one = spool.file(None);
    write(&mut one, &[1; 60_000]).await.unwrap();
    let refused = write(&mut one, &[2; 60_000]).await.unwrap_err();
    assert!(refused.unread() == [2; 60_000] && one.len() == 60_000);
    drop(one);
    // The thread gives back in its own time.
    let mut other = spool.file(None);
    while write(&mut other, &[3; 60_000]).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&mut other).await, [3; 60_000]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_gives_the_piece_back() {
    // The directory is gone behind its back: no file can be made any more.
    let directory = directory("gone");
    let spool = Spool::start(directory.clone(), 1 << 20).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let mut file = spool.file(None);
    let refused = write(&mut file, b"hello").await.unwrap_err();
    assert!(refused.unread() == b"hello" && file.is_empty() && file.is_at_end());
    assert_eq!(spool.room.bytes.taken(), 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_at_the_start() {
    assert!(Spool::start("/nowhere/at/all".into(), 1).is_err());
}
