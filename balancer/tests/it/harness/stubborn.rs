//! Addresses where nobody answers.

use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

/// An address that refuses connections, and that nobody else can take meanwhile.
pub(crate) struct Refusing {
    _socket: Socket,
    address: SocketAddr,
}

/// An address where connections are neither accepted nor refused.
pub(crate) struct Deaf {
    _socket: Socket,
    _waiting: Vec<TcpStream>,
    address: SocketAddr,
}

impl Refusing {
    pub(crate) fn start() -> Self {
        let (socket, address) = bound();
        Self { _socket: socket, address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Deaf {
    /// The queue of the listener is filled, after which the kernel lets further attempts go unanswered.
    pub(crate) fn start() -> Self {
        let (socket, address) = bound();
        socket.listen(0).unwrap();
        let waiting =
            (0..2).filter_map(|_| TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200)).ok());
        Self { _waiting: waiting.collect(), _socket: socket, address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
