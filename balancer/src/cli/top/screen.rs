//! The terminal: taken, and given back as it was.
//!
//! Decides nothing. Called by [`super`]. Gives it back once, whether it is asked to, dropped, or the thread panics.

use std::io::{self, Write};
use std::panic;

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// A terminal that shows another screen and passes on each key as it is pressed, until this is dropped.
#[derive(Debug)]
pub(super) struct Screen<W: Write> {
    out: W,
}

impl<W: Write> Screen<W> {
    /// Takes the terminal. A panic gives it back before it says why, so that the message is seen.
    ///
    /// # Errors
    /// When it cannot be taken; it is as it was then.
    pub(super) fn take(out: W) -> io::Result<Self> {
        let said = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            restore(&mut io::stdout());
            said(why);
        }));
        enable_raw_mode()?;
        let mut screen = Self { out };
        execute!(screen.out, EnterAlternateScreen)?;
        Ok(screen)
    }

    /// Gives it back.
    pub(super) fn give_back(self) {
        drop(self);
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        restore(&mut self.out);
    }
}

/// A terminal that is gone is as it was, too: nobody is told of errors.
fn restore(out: &mut impl Write) {
    let _ = execute!(out, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Default, Clone)]
    struct Kept(Rc<RefCell<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_too() {
        let kept = Kept::default();
        let screen = Screen { out: kept.clone() };
        let panicked = panic::catch_unwind(panic::AssertUnwindSafe(move || {
            let _screen = screen;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(String::from_utf8_lossy(&kept.0.borrow()), "\u{1b}[?1049l\u{1b}[?25h");
    }
}
