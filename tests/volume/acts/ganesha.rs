// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! NFS-Ganesha with its GlusterFS module.

use std::fs;

use cloudsync_lab::{ADDRESS, Backing, Server};

use super::{fails, has_program, lose_all_objects, succeeds};
use crate::scene::{Scene, assert_same, lab, pattern};

const PORT: u16 = 20_490;

/// Starts ganesha.nfsd for the volume, with NFSv4 only, which needs no rpcbind.
fn serve(scene: &Scene) -> Server {
    let home = lab().scratch(&format!("ganesha-{}", scene.volume.name()));
    let outer = lab().outer(&home);
    fs::create_dir_all(outer.join("recovery")).unwrap();
    let home = home.display();
    let volume = scene.volume.name();
    // From 6 on, it wants a capability that a container may lack; before, it does not know the option.
    let version = lab().run("ganesha.nfsd", ["-v"]).unwrap().text();
    let flusher = if version.contains("V4") {
        ""
    } else {
        "allow_set_io_flusher_fail = true;"
    };
    let config = format!(
        "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {PORT}; Bind_addr = {ADDRESS};
             Enable_NLM = false; Enable_RQUOTA = false; {flusher} }}
         NFSv4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {home}/recovery; }}
         LOG {{ COMPONENTS {{ NFS_V4 = DEBUG; }} }}
         NFS_KRB5 {{ Active_krb5 = false; }}
         EXPORT {{ Export_Id = 1; Path = \"/\"; Pseudo = \"/export\"; Access_Type = RW;
             Squash = No_root_squash; SecType = sys; Protocols = 4; Transports = TCP;
             FSAL {{ Name = GLUSTER; Hostname = {ADDRESS}; Volume = {volume};
                 Glfs_log = {home}/client.log; }} }}\n"
    );
    fs::write(outer.join("ganesha.conf"), config).unwrap();
    let command =
        format!("ganesha.nfsd -F -L STDERR -N NIV_EVENT -f {home}/ganesha.conf -p {home}/pid");
    Server::start(lab(), &format!("ganesha-{volume}"), &command, PORT)
        .unwrap_or_else(|why| panic!("ganesha.nfsd does not start: {why}"))
}

#[test]
fn ganesha_serves_cold_files() {
    if !has_program("ganesha.nfsd", "nfs-ganesha-gluster")
        || !has_program("nfs-cat", "libnfs-utils")
    {
        return;
    }
    let settings = [("features.cloudsync-store-id", "retries=1")];
    let mut scene = Scene::with("ganesha", &settings, Backing::Ram);
    let bytes = pattern(1, 3_000_000);
    for name in ["read", "lost"] {
        scene.write(name, &bytes);
    }
    scene.archive_all("");
    scene.remount();
    let ganesha = serve(&scene);
    let url = |name: &str| format!("'nfs://{ADDRESS}/export/{name}?version=4&nfsport={PORT}'");
    let scratch = lab().outer(lab().scratch(&format!("acts-{}", scene.volume.name())));
    let listed = succeeds(&scene, &format!("nfs-ls {}", url("")));
    assert!(listed.contains("3000000"), "sizes: {listed}");
    // nfs-cp neither replaces a file nor writes one larger than a block over NFSv4.
    succeeds(
        &scene,
        &format!(
            "nfs-cat {} >$scratch/read
             head -c 1000 /dev/urandom >$scratch/new; nfs-cp $scratch/new {}
             nfs-cat {} | cmp - $scratch/new",
            url("read"),
            url("fresh"),
            url("fresh"),
        ),
    );
    assert_same(&fs::read(scratch.join("read")).unwrap(), &bytes, "read");
    // nfs-cat does not print the server's error, but the server does.
    let read_fails = |server: &Server, error: &str| {
        fails(&scene, &format!("nfs-cat {} >$scratch/lost", url("lost")));
        let printed = server.printed();
        let mut lines = printed.lines().rev();
        let read = lines.find(|line| line.contains("OP_READ ") && line.contains("= NFS4ERR_"));
        assert!(
            read.is_some_and(|read| read.contains(error)),
            "{error}: {read:?}"
        );
        assert_eq!(fs::metadata(scratch.join("lost")).unwrap().len(), 0);
        assert!(scene.is_cold("lost"), "{}", scene.marks("lost"));
    };
    lose_all_objects(&scene);
    read_fails(&ganesha, "NFS4ERR_IO");
    drop(ganesha);
    let closed = format!("http://{ADDRESS}:1");
    // Errors for which NFS has no name arrive as one that the client can act on.
    for (option, value, error) in [
        ("features.s3plugin-seckey", "wrong", "NFS4ERR_ACCESS"),
        ("features.s3plugin-hostname", &closed, "NFS4ERR_DELAY"),
    ] {
        scene.volume.set(option, value).unwrap();
        let ganesha = serve(&scene);
        read_fails(&ganesha, error);
        drop(ganesha);
    }
    scene.remount();
    let new = fs::read(scratch.join("new")).unwrap();
    assert_same(&scene.read("fresh").unwrap(), &new, "fresh");
}
