//! The allocator of every program of this crate.

/// Batches of columns come and go all the time: this allocator keeps their pages for the next, where
/// others hand them back to the system and have them cleared again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What it is told before anything is allocated. State is looked at in no order: in huge pages, where
/// the system has them, fewer addresses have to be looked up, and fewer pages brought in. The
/// environment variable `_RJEM_MALLOC_CONF` says otherwise.
#[expect(unsafe_code, reason = "a name that the allocator looks for, and no other library has")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 11] = b"thp:always\0";
