#!/bin/bash
# A real systemd user manager in mount and cgroup namespaces of its own. Needs root; changes nothing on the host.
#   systemd_user_manager.sh up DIR     DIR: absolute and short; unit files go to DIR/units, the log is DIR/log
#   systemd_user_manager.sh down DIR
# then: XDG_RUNTIME_DIR=DIR/run systemctl --user daemon-reload|start|reload|stop|show ...
# Runs as root, or as uid $U when set. $SYSTEMD_ROOT: a folder with another version's /usr, laid over this one's.
set -u
verb=${1:?up or down} D=${2:?directory}
case $verb in
inside)
  if [ -n "${SYSTEMD_ROOT:-}" ]; then
    mount -t overlay overlay -o "lowerdir=$SYSTEMD_ROOT/usr:/usr" /usr || exit 9
  fi
  umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 9
  # Otherwise: "system has not been booted with systemd".
  mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 9
  as=""
  [ -n "${U:-}" ] && as="setpriv --reuid=$U --regid=$U --clear-groups --inh-caps=-all --bounding-set=-all"
  # The log goes to /dev/console, which has to be a terminal.
  exec script -qfc "mount --bind \$(tty) /dev/console; chmod 666 \$(tty); exec $as /lib/systemd/systemd --user --unit=t.target --log-target=console --log-level=${LEVEL:-info}" "$D/log"
  ;;
up)
  mkdir -p "$D/run" "$D/home" "$D/units" && chmod 700 "$D/run"
  printf '[Unit]\nDescription=root\n' >"$D/units/t.target"
  cg=/sys/fs/cgroup/unified
  [ -d $cg ] || cg=/sys/fs/cgroup
  cg=$cg/sdu.$$
  mkdir "$cg" && echo "$cg" >"$D/cg" || exit 9
  if [ -n "${U:-}" ]; then chown -R "$U:$U" "$D" "$cg"; fi
  (
    echo $BASHPID >"$cg/cgroup.procs"
    export D U=${U:-} XDG_RUNTIME_DIR=$D/run HOME=$D/home SYSTEMD_UNIT_PATH=$D/units:/usr/lib/systemd/user
    # Whatever becomes of the test, it ends.
    exec setsid -f timeout --kill-after=5 "${LIFE_S:-300}" unshare --mount --cgroup --propagation private "$(readlink -f "$0")" inside "$D"
  ) </dev/null >"$D/out" 2>&1
  ;;
down)
  cg=$(cat "$D/cg" 2>/dev/null) || exit 0
  for _ in $(seq 100); do
    pids=$(find "$cg" -name cgroup.procs -exec cat {} + 2>/dev/null)
    [ -z "$pids" ] && break
    for p in $pids; do kill -9 "$p" 2>/dev/null; done
    sleep 0.05
  done
  for _ in $(seq 100); do
    find "$cg" -depth -type d -exec rmdir {} \; 2>/dev/null
    [ -d "$cg" ] || exit 0
    sleep 0.05
  done
  ;;
esac
