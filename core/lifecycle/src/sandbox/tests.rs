//! The Sandbox controller's decisions: flows through a small world that carries plans out, rows of the published
//! tables, and every race as the snapshot that it shows as.

mod anything;
mod children;
mod expiry;
mod flows;
mod limits;
mod races;
mod stale;
mod troubles;
mod world;

use world::World;
