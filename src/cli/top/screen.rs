//! The terminal: how cells get onto it, what is typed, and that it is given back as it was, whatever happens.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use ratatui_core::terminal::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::canvas::Canvas;
use super::key::Key;
use super::keyboard::Keyboard;
use crate::domain::Error;

/// The screen beside that of the shell, without a cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";
/// Of a terminal that does not say.
const USUAL_SIZE: Size = Size { width: 80, height: 24 };

/// Whether there is a terminal to draw on and to type at.
pub(super) fn is_there() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

/// The terminal's way back.
#[derive(Clone)]
struct WayBack {
    saved: Termios,
    is_taken: Arc<AtomicBool>,
}

impl WayBack {
    /// Once; that it fails changes nothing.
    fn take(&self) {
        if !self.is_taken.swap(true, Ordering::SeqCst) {
            io::stdout().write_all(LEAVE).and_then(|()| io::stdout().flush()).ok();
            tcsetattr(io::stdin(), OptionalActions::Now, &self.saved).ok();
        }
    }
}

/// The terminal, while we have it.
pub(super) struct Screen {
    terminal: Terminal<Ansi>,
    keyboard: Keyboard,
    has_colour: bool,
    way_back: WayBack,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// Errors: `Internal` if it does not let itself be.
    pub(super) fn open() -> Result<Self, Error> {
        let failed = |error: io::Error| Error::internal(format!("the terminal can't be used: {error}"));
        let saved = tcgetattr(io::stdin()).map_err(|error| failed(error.into()))?;
        let way_back = WayBack { saved: saved.clone(), is_taken: Arc::default() };
        // Before what a panic says, so that it can be read.
        let (by_panic, usual) = (way_back.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |what| {
            by_panic.take();
            usual(what);
        }));
        let mut raw = saved;
        raw.make_raw();
        // By its being dropped it is given back from here on, also if the next step fails.
        let terminal = Terminal::new(Ansi::default()).map_err(failed)?;
        let has_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = Self { terminal, keyboard: Keyboard::open().map_err(failed)?, has_colour, way_back };
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(|error| failed(error.into()))?;
        io::stdout().write_all(ENTER).and_then(|()| io::stdout().flush()).map_err(failed)?;
        Ok(screen)
    }

    /// Draws what differs from the last time.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Canvas<'_>)) -> io::Result<()> {
        let has_colour = self.has_colour;
        self.terminal.draw(|frame| draw(&mut Canvas::new(frame.buffer_mut(), has_colour))).map(drop)
    }

    /// The next keys; none when nobody types there any more. May be dropped and called again.
    pub(super) async fn keys(&mut self) -> Option<Vec<Key>> {
        self.keyboard.next().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.way_back.take();
    }
}

/// Cells as the sequences that all terminals of today know. Written at once at the end of a drawing.
#[derive(Default)]
struct Ansi {
    written: Vec<u8>,
}

impl Ansi {
    fn look(&mut self, cell: &Cell) {
        self.written.extend_from_slice(b"\x1b[0");
        for (modifier, number) in [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::REVERSED, 7)] {
            if cell.modifier.contains(modifier) {
                self.written.extend_from_slice(format!(";{number}").as_bytes());
            }
        }
        let colour = match cell.fg {
            Color::Red => ";31",
            Color::Green => ";32",
            Color::Yellow => ";33",
            // There is no other look.
            _ => "",
        };
        self.written.extend_from_slice(colour.as_bytes());
        self.written.push(b'm');
    }
}

impl Backend for Ansi {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, cells: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let (mut next, mut look) = (None, None);
        for (x, y, cell) in cells {
            if next != Some((x, y)) {
                self.written.extend_from_slice(format!("\x1b[{};{}H", y + 1, x + 1).as_bytes());
            }
            if look != Some((cell.fg, cell.modifier)) {
                self.look(cell);
                look = Some((cell.fg, cell.modifier));
            }
            self.written.extend_from_slice(cell.symbol().as_bytes());
            // Terminals disagree about how wide other characters are: behind one of them the place is said again.
            next = cell.symbol().is_ascii().then_some((x + 1, y));
        }
        self.written.extend_from_slice(b"\x1b[0m");
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.written.extend_from_slice(b"\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.written.extend_from_slice(b"\x1b[?25h");
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, at: P) -> io::Result<()> {
        let Position { x, y } = at.into();
        self.written.extend_from_slice(format!("\x1b[{};{}H", y + 1, x + 1).as_bytes());
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    /// All of it, whatever is asked for: nothing here asks for less.
    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.written.extend_from_slice(b"\x1b[0m\x1b[2J");
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        let said = tcgetwinsize(io::stdout())?;
        let is_said = said.ws_col > 0 && said.ws_row > 0;
        Ok(if is_said { Size { width: said.ws_col, height: said.ws_row } } else { USUAL_SIZE })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().write_all(&std::mem::take(&mut self.written))?;
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    /// In the environment of this test when it is run at a terminal.
    const AT_A_TERMINAL: &str = "POND_TEST_AT_A_TERMINAL";

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_what_it_is() {
        if std::env::var_os(AT_A_TERMINAL).is_some() {
            let _screen = Screen::open().unwrap();
            panic!("on purpose");
        }
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let before = tcgetattr(&terminal).unwrap();
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "cli::top::screen::tests::a_panic_gives_the_terminal_back_before_it_says_what_it_is", "--nocapture"]);
        let mut child =
            again.env(AT_A_TERMINAL, "1").env("RUST_BACKTRACE", "0").stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        assert!(!child.wait().unwrap().success());
        let after = tcgetattr(&terminal).unwrap();
        assert_eq!(
            (after.local_modes, after.input_modes, after.output_modes),
            (before.local_modes, before.input_modes, before.output_modes)
        );
        // What is in the terminal's buffer is read before its end is seen.
        drop((terminal, again));
        let mut written = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = File::read(&mut File::from(person.try_clone().unwrap()), &mut bytes) {
            written.extend_from_slice(&bytes[..len]);
        }
        let place = |text: &[u8]| memchr::memmem::find(&written, text).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&written)));
        assert!(place(ENTER) < place(LEAVE) && place(LEAVE) < place(b"on purpose"));
        assert_eq!(memchr::memmem::find_iter(&written, LEAVE).count(), 1, "once");
    }
}
