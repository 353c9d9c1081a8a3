//! A host may lose the address that the others were told, and get another: a laptop in another network, a container that is
//! connected again. The node would still be heard, for it speaks first, and every request to it would go astray. So it looks
//! now and then, and tells the others where it is.

use crate::here::Here;
use maia::node::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(2);

/// Goes on until it is dropped.
pub(crate) async fn keep_true(here: Arc<Here>) {
    let Some(mesh) = &here.mesh else {
        return;
    };
    loop {
        sleep(ROUND).await;
        let (told, seeds) = (here.url(), mesh.seeds.places());
        if let Some(url) = mesh.advertised.moved(&told, &seeds, here.address).await {
            log::info!(
                "{told} is no longer this node's address: the others are told {url} from now on"
            );
            mesh.handle.tell(Command::Url(url));
        }
    }
}
