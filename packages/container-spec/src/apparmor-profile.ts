// Our own AppArmor profile (apparmor.d(5)): a second fence behind namespaces, masks, capabilities and seccomp, for the day one of these has a hole.

/** What RuntimeDefault means where the kernel has AppArmor. */
export const defaultApparmorName = 'coracle-default'

/**
 * The text for apparmor_parser(8). Files, sockets and capabilities are the business of what stands before; here is what a container has no
 * reason to do even as root with everything mounted: change the kernel's settings, read its memory, mount, reach into processes outside.
 */
export const apparmorProfileText = (
  name: string = defaultApparmorName,
): string => `profile ${name} flags=(attach_disconnected,mediate_deleted) {
  capability,
  file,
  network,
  umount,

  # Runtimes run unconfined, or under profiles that distributions give them.
  signal (receive) peer={unconfined,crun,runc,conmon,coracled},
  signal (send, receive) peer=${name},
  ptrace (trace, read, tracedby, readby) peer=${name},

  deny mount,

  # The kernel's memory and its emergency keys.
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,
  deny /proc/acpi/** rwklx,

  # Settings, but for those of the container's own namespaces: net/, kernel/{domainname,hostname,msg*,sem,shm*}, fs/mqueue/.
  deny /proc/sys/{abi,crypto,debug,dev,sunrpc,user,vm,xen}/** wkl,
  deny /proc/sys/fs/[^m]** wkl,
  deny /proc/sys/fs/m[^q]** wkl,
  deny /proc/sys/kernel/[^dhms]** wkl,
  deny /proc/sys/kernel/d[^o]** wkl,
  deny /proc/sys/kernel/h[^o]** wkl,
  deny /proc/sys/kernel/ho[^s]** wkl,
  deny /proc/sys/kernel/m[^s]** wkl,
  deny /proc/sys/kernel/s[^eh]** wkl,
  deny /proc/sys/kernel/se[^m]** wkl,

  # The machine. cgroups are below /sys/fs and have their own guards.
  deny /sys/{block,bus,class,dev,devices,hypervisor,module,power}/** wkl,
  deny /sys/fs/[^c]** wkl,
  deny /sys/{firmware,kernel/security,kernel/debug,kernel/tracing,devices/virtual/powercap}/** rwklx,
  deny /sys/kernel/** wkl,
}
`
