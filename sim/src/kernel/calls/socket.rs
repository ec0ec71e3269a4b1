//! Sockets: making, naming, connecting, accepting, their options.

use std::ffi::{c_int, c_void};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use libc::{sockaddr, socklen_t};

use super::{answer, failed};
use crate::kernel::descriptor::is_simulated;
use crate::kernel::raw::system_call;
use crate::kernel::{Breach, Kernel, Object, on_host, with};
use crate::net::{Options, Socket, SocketState};

/// Reads an IPv4 address.
///
/// # Safety
/// `address` must be null or valid for `length` bytes.
unsafe fn read_address(address: *const sockaddr, length: socklen_t) -> Result<SocketAddrV4, c_int> {
    if address.is_null() {
        return Err(libc::EFAULT);
    }
    if (length as usize) < size_of::<libc::sockaddr_in>() {
        return Err(libc::EINVAL);
    }
    // SAFETY: the caller vouches for `length` bytes, and there are enough for a sockaddr_in.
    let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
    if c_int::from(v4.sin_family) != libc::AF_INET {
        return Err(libc::EAFNOSUPPORT);
    }
    Ok(SocketAddrV4::new(
        Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)),
        u16::from_be(v4.sin_port),
    ))
}

/// Writes an IPv4 address, cut short where the caller has no room, and its full length.
///
/// # Safety
/// Either pointer may be null; otherwise `length` must be valid, and `into` for as many bytes as it says.
unsafe fn write_address(into: *mut sockaddr, length: *mut socklen_t, address: SocketAddrV4) {
    if into.is_null() || length.is_null() {
        return;
    }
    let v4 = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: address.ip().to_bits().to_be(),
        },
        sin_zero: [0; 8],
    };
    let full = size_of::<libc::sockaddr_in>();
    // SAFETY: the caller vouches for both pointers.
    unsafe {
        let room = (*length as usize).min(full);
        std::ptr::copy_nonoverlapping((&raw const v4).cast::<u8>(), into.cast::<u8>(), room);
        *length = full as socklen_t;
    }
}

#[unsafe(no_mangle)]
extern "C" fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int {
    if !on_host() {
        // SAFETY: this call takes no pointers.
        return unsafe { system_call!(libc::SYS_socket, family, kind, protocol) as c_int };
    }
    let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
    let plain = kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    match (family, plain) {
        (libc::AF_INET, libc::SOCK_STREAM) => with(|kernel| {
            let socket = Socket {
                state: SocketState::Fresh,
                options: Options::default(),
            };
            kernel.open(Object::Socket(socket), nonblocking)
        }),
        // As on a machine whose IPv6 is off; programs know how to fall back.
        (libc::AF_INET6, _) => failed(libc::EAFNOSUPPORT),
        _ => {
            let what = match (family, plain) {
                (libc::AF_INET, libc::SOCK_DGRAM) => "socket(UDP)".to_owned(),
                (libc::AF_UNIX, _) => "socket(AF_UNIX)".to_owned(),
                _ => format!("socket(family {family}, type {plain})"),
            };
            with(|kernel| kernel.violate(what, Breach::Socket));
            failed(libc::EAFNOSUPPORT)
        }
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn socketpair(family: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int {
    if on_host() {
        with(|kernel| kernel.violate("socketpair".to_owned(), Breach::Socket));
        return failed(libc::EAFNOSUPPORT);
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_socketpair, family, kind, protocol, pair) as c_int }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_bind, fd, address, length) as c_int };
    }
    // SAFETY: the caller's arguments, passed on.
    let address = unsafe { read_address(address, length) };
    answer!(
        address
            .and_then(|address| with(|kernel| {
                let file = kernel.file(fd)?;
                kernel.tcp_bind(file, address)
            }))
            .map(|()| 0)
    )
}

#[unsafe(no_mangle)]
extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: this call takes no pointers.
        return unsafe { system_call!(libc::SYS_listen, fd, backlog) as c_int };
    }
    answer!(
        with(|kernel| {
            let file = kernel.file(fd)?;
            kernel.tcp_listen(file, backlog)
        })
        .map(|()| 0)
    )
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_connect, fd, address, length) as c_int };
    }
    // SAFETY: the caller's arguments, passed on.
    let address = unsafe { read_address(address, length) };
    let started = address.and_then(|address| {
        with(|kernel| {
            let file = kernel.file(fd)?;
            if kernel.descriptors.get(file).is_some_and(|file| !file.nonblocking) {
                kernel.violate(
                    format!("connect to {address} on a blocking socket"),
                    Breach::Blocking,
                );
                return Err(libc::ENETUNREACH);
            }
            kernel.tcp_connect(file, address)
        })
    });
    failed(match started {
        Ok(()) => libc::EINPROGRESS,
        Err(errno) => errno,
    })
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_accept4, fd, address, length, flags) as c_int };
    }
    let accepted = with(|kernel| {
        let file = kernel.file(fd)?;
        let accepted = kernel.tcp_accept(file, flags & libc::SOCK_NONBLOCK != 0);
        if accepted == Err(libc::EAGAIN) {
            kernel.refuse_blocking(file, "accept");
        }
        accepted
    });
    match accepted {
        Ok((fd, peer)) => {
            // SAFETY: the caller's pointers, which libc's contract says are null or valid.
            unsafe { write_address(address, length, peer) };
            fd
        }
        Err(errno) => failed(errno),
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe { accept4(fd, address, length, 0) }
}

/// # Safety
/// The pointers must be null or valid as for [`write_address`].
unsafe fn answer_address(fd: c_int, into: *mut sockaddr, length: *mut socklen_t, of_peer: bool) -> c_int {
    let address = with(|kernel| {
        let file = kernel.file(fd)?;
        kernel.tcp_address(file, of_peer)
    });
    answer!(address.map(|address| {
        // SAFETY: the caller vouches for the pointers.
        unsafe { write_address(into, length, address) };
        0
    }))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockname(fd: c_int, into: *mut sockaddr, length: *mut socklen_t) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_getsockname, fd, into, length) as c_int };
    }
    // SAFETY: the caller's pointers, which libc's contract says are null or valid.
    unsafe { answer_address(fd, into, length, false) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpeername(fd: c_int, into: *mut sockaddr, length: *mut socklen_t) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_getpeername, fd, into, length) as c_int };
    }
    // SAFETY: the caller's pointers, which libc's contract says are null or valid.
    unsafe { answer_address(fd, into, length, true) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_setsockopt, fd, level, name, value, length) as c_int };
    }
    if value.is_null() || (length as usize) < size_of::<c_int>() {
        return failed(libc::EINVAL);
    }
    // SAFETY: the caller's buffer is `length` bytes long, enough for an int.
    let number = unsafe { value.cast::<c_int>().read_unaligned() };
    let linger_seconds = if (length as usize) >= size_of::<libc::linger>() {
        // SAFETY: the caller's buffer is `length` bytes long, enough for a linger.
        unsafe { value.cast::<libc::linger>().read_unaligned() }.l_linger
    } else {
        0
    };
    answer!(with(|kernel| kernel.set_option(fd, level, name, number, linger_seconds)).map(|()| 0))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_getsockopt, fd, level, name, value, length) as c_int };
    }
    if value.is_null() || length.is_null() {
        return failed(libc::EFAULT);
    }
    let number = with(|kernel| kernel.option(fd, level, name));
    answer!(number.and_then(|number| {
        // SAFETY: the caller's pointers, which libc's contract says are valid; the room is checked before the write.
        unsafe {
            if (*length as usize) < size_of::<c_int>() {
                return Err(libc::EINVAL);
            }
            value.cast::<c_int>().write_unaligned(number);
            *length = size_of::<c_int>() as socklen_t;
        }
        Ok(0)
    }))
}

impl Kernel {
    fn set_option(
        &mut self,
        fd: c_int,
        level: c_int,
        name: c_int,
        number: c_int,
        linger_seconds: c_int,
    ) -> Result<(), c_int> {
        let file = self.file(fd)?;
        let Object::Socket(Socket { options, .. }) = self.object(fd)? else {
            return Err(libc::ENOTSOCK);
        };
        let on = number != 0;
        let positive = || {
            u32::try_from(number)
                .ok()
                .filter(|number| *number > 0)
                .ok_or(libc::EINVAL)
        };
        let seconds = || positive().map(|number| Duration::from_secs(u64::from(number)));
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => options.reuse_address = on,
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.keepalive = on,
            // Linux doubles what is asked for, to have room for its own bookkeeping; a program never sees that half.
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_buffer = u64::from(positive()?.max(2048)),
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => options.receive_buffer = u64::from(positive()?.max(2048)),
            (libc::SOL_SOCKET, libc::SO_LINGER) => options.reset_on_close = on && linger_seconds == 0,
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => options.nodelay = on,
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => options.keepalive_idle = seconds()?,
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => options.keepalive_interval = seconds()?,
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => options.keepalive_probes = positive()?,
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
                options.user_timeout =
                    Duration::from_millis(u64::try_from(number).map_err(|_| libc::EINVAL)?);
            }
            // What changes nothing that is simulated: type of service, SO_REUSEPORT with one listener, SO_MARK and such.
            (
                libc::SOL_SOCKET,
                libc::SO_REUSEPORT | libc::SO_BROADCAST | libc::SO_PRIORITY | libc::SO_MARK,
            )
            | (libc::IPPROTO_IP, libc::IP_TOS | libc::IP_TTL)
            | (libc::IPPROTO_TCP, libc::TCP_QUICKACK | libc::TCP_CORK) => {}
            _ => return Err(libc::ENOPROTOOPT),
        }
        self.options_changed(file);
        Ok(())
    }

    fn option(&mut self, fd: c_int, level: c_int, name: c_int) -> Result<c_int, c_int> {
        let Object::Socket(Socket { options, state }) = self.object(fd)? else {
            return Err(libc::ENOTSOCK);
        };
        let (options, state) = (*options, *state);
        let seconds = |duration: Duration| duration.as_secs() as c_int;
        Ok(match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => match state {
                SocketState::Stream { connection, side } => self
                    .connection(connection)
                    .and_then(|connection| connection.ends[side.index()].error.take())
                    .unwrap_or(0),
                _ => 0,
            },
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_INET,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_TCP,
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                c_int::from(matches!(state, SocketState::Listening(_)))
            }
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => c_int::from(options.reuse_address),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => c_int::from(options.keepalive),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => (options.send_buffer * 2) as c_int,
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => (options.receive_buffer * 2) as c_int,
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => c_int::from(options.nodelay),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => seconds(options.keepalive_idle),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => seconds(options.keepalive_interval),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => options.keepalive_probes as c_int,
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => options.user_timeout.as_millis() as c_int,
            _ => return Err(libc::ENOPROTOOPT),
        })
    }
}
