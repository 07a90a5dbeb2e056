/**
 * A program for perl that makes each system call, given by name as its number and arguments, and prints `name ok` or `name ERRNO`, by
 * name. Children of a clone that succeeds end at once.
 */
export const syscallProbe = (calls: Readonly<Record<string, readonly number[]>>): string => `
my %calls = (${Object.entries(calls)
  .map(([name, numbers]) => `${name} => [${numbers.join(',')}]`)
  .join(', ')});
for my $name (sort keys %calls) {
  my @args = map { $_ + 0 } @{$calls{$name}};
  $! = 0;
  my $r = syscall(shift @args, @args);
  exit 0 if $name =~ /^clone/ && $r == 0;
  print "$name ", ($r == -1 ? $!+0 : "ok"), "\\n";
}`
