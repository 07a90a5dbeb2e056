// Which system calls a container may make, sorted by what they are for. Written from the kernel's tables (x86 32 and 64 bit, the generic one
// of arm64 and riscv64) up to Linux 6.18; the reasons for what is missing are in docs/decisions/0101-seccomp-default-profile.md.

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

const files = words(`
  access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64
  fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr
  flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd
  getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr
  link linkat listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat
  name_to_handle_at newfstatat oldfstat oldlstat oldstat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
  readahead readdir readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr
  setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs tee truncate
  truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev`)

const waiting = words(`
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 io_cancel
  io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pipe pipe2 poll ppoll ppoll_time64 pselect6
  pselect6_time64 select signalfd signalfd4`)

const memory = words(`
  brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
  mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages`)

const processes = words(`
  arch_prctl arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
  get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid
  getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set
  landlock_add_rule landlock_create_ruleset landlock_restrict_self modify_ldt nice pidfd_open pidfd_send_signal prctl prlimit64 ptrace
  riscv_flush_icache riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid
  setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
  setrlimit setsid set_tls setuid setuid32 sysinfo times ugetrlimit uname vfork wait4 waitid waitpid uretprobe`)

const signals = words(`
  alarm kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
  rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal sigpending sigprocmask sigreturn sigsuspend tgkill tkill`)

const time = words(`
  adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
  clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun
  timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
  timerfd_settime64`)

const communication = words(`
  accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64
  recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
  socketpair`)

export const allowedSyscalls: readonly string[] = [
  ...files,
  ...waiting,
  ...memory,
  ...processes,
  ...signals,
  ...time,
  ...communication,
]

/** Allowed in addition when one of the capabilities is held. */
export const syscallsByCapability: readonly { readonly anyOf: readonly string[]; readonly names: readonly string[] }[] = [
  {
    anyOf: ['CAP_SYS_ADMIN'],
    names: words(`
      bpf clone clone3 fanotify_init fanotify_mark fsconfig fsmount fsopen fspick listmount lookup_dcookie mount mount_setattr move_mount
      open_tree open_tree_attr perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns statmount syslog umount
      umount2 unshare`),
  },
  { anyOf: ['CAP_SYS_BOOT'], names: ['reboot'] },
  { anyOf: ['CAP_SYS_CHROOT'], names: ['chroot'] },
  { anyOf: ['CAP_SYS_MODULE'], names: ['delete_module', 'init_module', 'finit_module'] },
  { anyOf: ['CAP_SYS_PACCT'], names: ['acct'] },
  {
    anyOf: ['CAP_SYS_PTRACE'],
    names: ['kcmp', 'pidfd_getfd', 'process_madvise', 'process_vm_readv', 'process_vm_writev'],
  },
  { anyOf: ['CAP_SYS_RAWIO'], names: ['iopl', 'ioperm'] },
  { anyOf: ['CAP_SYS_TIME'], names: ['settimeofday', 'stime', 'clock_settime', 'clock_settime64'] },
  { anyOf: ['CAP_SYS_TTY_CONFIG'], names: ['vhangup'] },
  {
    anyOf: ['CAP_SYS_NICE'],
    names: ['get_mempolicy', 'mbind', 'migrate_pages', 'move_pages', 'set_mempolicy', 'set_mempolicy_home_node'],
  },
  { anyOf: ['CAP_SYSLOG'], names: ['syslog'] },
  { anyOf: ['CAP_DAC_READ_SEARCH'], names: ['open_by_handle_at'] },
  { anyOf: ['CAP_BPF'], names: ['bpf'] },
  { anyOf: ['CAP_PERFMON'], names: ['perf_event_open'] },
]

/** Never allowed by the default profile, whatever is held. Named so that they fail with EPERM, not with the ENOSYS of unknown calls. */
export const deniedSyscalls: readonly string[] = words(`
  _sysctl add_key afs_syscall bdflush create_module get_kernel_syms getpmsg io_uring_enter io_uring_register io_uring_setup
  kexec_file_load kexec_load keyctl lsm_get_self_attr lsm_list_modules lsm_set_self_attr nfsservctl putpmsg query_module request_key
  security socketcall swapoff swapon sysfs tuxcall uselib userfaultfd ustat vm86 vm86old vserver`)
