//! What a program in a world can see of the kernel. TCP is held against Linux's own: each body that a loopback can show
//! runs there too, and must see the same.

mod bad_input;
mod clocks;
mod disk;
mod guards;
mod linux_tcp;
mod network_faults;
mod process_faults;
mod randomness;
mod support;
mod trace;
