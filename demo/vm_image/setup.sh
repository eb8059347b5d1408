#!/bin/sh
# Runs once inside the new root file system, after its packages and the files of rootfs/ are in.
set -eu

useradd --create-home --shell /bin/bash --comment "operator of the demo VM" aiida
chmod 0440 /etc/sudoers.d/aiida
mkdir -p /var/cache/uv /var/lib/slurm/slurmctld /var/lib/slurm/slurmd /var/log/slurm
chown slurm: /var/lib/slurm/slurmctld /var/log/slurm
chown aiida: /var/cache/uv

# The package takes the next free port of the machine that builds the image; the VM has all of its own.
sed -i 's/^port = .*/port = 5432/' /etc/postgresql/*/main/postgresql.conf

# Slurm 22.05 (Debian 12) does not know `disabled`; with the plugins of slurm.conf this one touches nothing either.
case $(slurmd -V) in
*" 22."*) echo "CgroupPlugin=cgroup/v1" >/etc/slurm/cgroup.conf ;;
esac

mask() {
    systemctl mask --quiet "$@"
}

# There is no console: a privileged container would open the terminals of the machine underneath.
mask console-getty.service getty.target getty-static.service
# Devices are the business of the machine underneath.
mask systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket systemd-udevd-control.socket
# So are its kernel's modules, its parameters, and the file systems that show them.
mask systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service kmod-static-nodes.service
mask proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount dev-hugepages.mount
mask sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
# podman mounts and names these; remounting them fails.
mask systemd-remount-fs.service systemd-hostnamed.socket
# These take dpkg's lock or the machine's time at moments of their own choice.
mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer

# Tests resolve against one local controller; the packages leave it disabled where slurm.conf was missing.
systemctl enable --quiet ssh munge slurmctld slurmd postgresql rabbitmq-server

# What must differ from VM to VM is made at its first boot (see the drop-ins in rootfs/etc/systemd).
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /etc/munge/munge.key
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/hostname

# What mmdebstrap was told about this host's mirror and proxy stays on this host.
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -rf /var/cache/apt/*.bin /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log
