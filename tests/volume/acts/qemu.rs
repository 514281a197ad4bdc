// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! qemu's disk images, through a mount and through qemu's own GlusterFS client.

use cloudsync_lab::ADDRESS;

use super::{fails, has_program, lose_all_objects, shell, succeeds};
use crate::scene::Scene;

/// A cold image of 40 MiB, partly sparse, whose content is in `$scratch/raw`.
fn image(name: &str) -> Scene {
    let mut scene = Scene::new(name);
    succeeds(
        &scene,
        "head -c 12M /dev/urandom >$scratch/raw; truncate -s 20M $scratch/raw
         head -c 8M /dev/urandom >>$scratch/raw; truncate -s 40M $scratch/raw
         qemu-img convert -f raw -O qcow2 $scratch/raw disk.qcow2",
    );
    scene.archive_all("");
    scene.remount();
    scene
}

#[test]
fn qemu_img_reads_a_cold_image_through_a_mount() {
    if !has_program("qemu-img", "qemu-utils") {
        return;
    }
    let mut scene = image("qemu");
    succeeds(
        &scene,
        "qemu-img check disk.qcow2
         qemu-img convert -f qcow2 -O raw disk.qcow2 $scratch/out; cmp $scratch/raw $scratch/out",
    );
    scene.archive_all("");
    scene.remount();
    // In place: it writes to ranges that it has not read.
    succeeds(
        &scene,
        "qemu-img resize -q disk.qcow2 48M; qemu-img snapshot -c one disk.qcow2
         qemu-img check disk.qcow2; truncate -s 48M $scratch/raw
         qemu-img compare -f raw -F qcow2 $scratch/raw disk.qcow2",
    );
    scene.archive_all("");
    scene.remount();
    lose_all_objects(&scene);
    fails(
        &scene,
        "qemu-img convert -f qcow2 -O raw disk.qcow2 $scratch/lost",
    );
}

#[test]
fn qemu_img_reads_a_cold_image_through_gfapi() {
    if !has_program("qemu-img", "qemu-utils") {
        return;
    }
    let mut scene = image("qemu-api");
    let url = format!("gluster://{ADDRESS}/{}/disk.qcow2", scene.volume.name());
    let probe = shell(
        &scene,
        &format!("qemu-img info gluster://{ADDRESS}/none/none"),
    );
    if String::from_utf8_lossy(&probe.stderr).contains("Unknown protocol") {
        eprintln!("SKIPPED: this qemu-img does not know gluster://; qemu-block-extra provides it");
        return;
    }
    let read = format!("qemu-img convert -f qcow2 -O raw {url} $scratch/out");
    succeeds(&scene, &format!("{read}; cmp $scratch/raw $scratch/out"));
    scene.archive_all("");
    scene.remount();
    // Closing a gfapi volume takes ten seconds, so the result is checked through the mount.
    succeeds(
        &scene,
        &format!(
            "qemu-img resize -q {url} 48M; truncate -s 48M $scratch/raw
             qemu-img check disk.qcow2
             qemu-img compare -f raw -F qcow2 $scratch/raw disk.qcow2"
        ),
    );
    scene.archive_all("");
    scene.remount();
    lose_all_objects(&scene);
    fails(&scene, &read);
}
