//! System calls made past libc, for the calls that the stand-ins pass through.
//!
//! A stand-in cannot call libc's function of its own name (it would call itself), and libc's own `syscall` is
//! one of the functions that are stood in for. So this file enters the operating system directly.

use std::ffi::{c_int, c_long};

/// The arguments of a system call that takes fewer than six are padded with zeros.
macro_rules! system_call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::kernel::raw::call($number as std::ffi::c_long, &[$($argument as usize),*])
    };
}
pub(crate) use system_call;

/// Makes a system call and reports failure as libc does: -1, with the reason in `errno`.
///
/// # Safety
/// The arguments must be what the system call `number` asks for: every pointer among them valid for the reads
/// and writes that the call makes.
pub(crate) unsafe fn call(number: c_long, arguments: &[usize]) -> c_long {
    let mut six = [0usize; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    // SAFETY: the caller vouches for the number and its arguments.
    let answer = unsafe { enter(number, six) };
    if (-4095..0).contains(&answer) {
        set_errno(-answer as c_int);
        return -1;
    }
    answer as c_long
}

/// Sets this thread's `errno`.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: libc answers a valid pointer to this thread's own errno.
    unsafe { *libc::__errno_location() = errno }
}

#[cfg(target_arch = "x86_64")]
unsafe fn enter(number: c_long, a: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the x86-64 Linux convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the call
    // clobbers rcx and r11. What the call does with memory is vouched for by the caller.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn enter(number: c_long, a: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the aarch64 Linux convention: number in x8, arguments in x0 to x5, answer in x0. What the call
    // does with memory is vouched for by the caller.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] as isize => answer,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack),
        );
    }
    answer
}
