// A program that makes the system calls it is told, one a line on stdin, and says what each came to: so that
// tests have writers that are other processes, which fork, hold descriptors and die.
//
//     open SLOT FLAGS PATH     flags: r w rw, then any of creat excl trunc append direct, with commas between
//     them write SLOT TEXT | close SLOT | dup SLOT NEW | sync SLOT | truncate SLOT SIZE | read SLOT lock SLOT
//     posix|ofd|flock r|w|none try|wait [START SIZE] locked SLOT posix|ofd r|w START SIZE     who stands in
//     the way: "none", or "w 0 10 of PID" map SLOT SIZE            maps it shared; poke OFFSET TEXT, msync,
//     unmap fork                     the child waits for the end of its stdin, and so holds all descriptors
//     run PROGRAM              by fork and exec: the child has copies of all descriptors until its exec
//     become PROGRAM           by exec, which closes what was opened with cloexec
//     handle SIGNAL            calls go on after it; break SIGNAL: they end with EINTR
//     apart                    into a mount namespace of its own, as a container: what is mounted stays so
//     there exit | pid
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace {

std::map<int, int> slots;
char* mapped = nullptr;
std::size_t mapped_bytes = 0;

std::string verdict(long result) {
  if (result >= 0) return "ok";
  const char* name = ::strerrorname_np(errno);
  return name == nullptr ? "error" : name;
}

int flags_of(const std::string& words) {
  static const std::map<std::string, int> kFlags{
      {"r", O_RDONLY},    {"w", O_WRONLY},      {"rw", O_RDWR},         {"creat", O_CREAT},  {"excl", O_EXCL},
      {"trunc", O_TRUNC}, {"append", O_APPEND}, {"cloexec", O_CLOEXEC}, {"direct", O_DIRECT}};
  int flags = 0;
  std::istringstream stream(words);
  for (std::string word; std::getline(stream, word, ',');) flags |= kFlags.at(word);
  return flags;
}

std::string rest_of(std::istringstream& line) {
  std::string text;
  std::getline(line >> std::ws, text);
  return text;
}

short lock_type(const std::string& word) {
  static const std::map<std::string, short> kTypes{{"r", F_RDLCK}, {"w", F_WRLCK}, {"none", F_UNLCK}};
  return kTypes.at(word);
}

std::string lock(int fd, std::istringstream& line) {
  std::string kind, type, patience;
  line >> kind >> type >> patience;
  const bool waits = patience == "wait";
  if (kind == "flock") {
    static const std::map<std::string, int> kOperations{{"r", LOCK_SH}, {"w", LOCK_EX}, {"none", LOCK_UN}};
    return verdict(::flock(fd, kOperations.at(type) | (waits ? 0 : LOCK_NB)));
  }
  struct flock wanted {};
  line >> wanted.l_start >> wanted.l_len;
  wanted.l_type = lock_type(type);
  if (kind == "ofd") return verdict(::fcntl(fd, waits ? F_OFD_SETLKW : F_OFD_SETLK, &wanted));
  return verdict(::fcntl(fd, waits ? F_SETLKW : F_SETLK, &wanted));
}

std::string locked(int fd, std::istringstream& line) {
  std::string kind, type;
  struct flock wanted {};
  line >> kind >> type >> wanted.l_start >> wanted.l_len;
  wanted.l_type = lock_type(type);
  if (::fcntl(fd, kind == "ofd" ? F_OFD_GETLK : F_GETLK, &wanted) != 0) return verdict(-1);
  if (wanted.l_type == F_UNLCK) return "none";
  return std::string(wanted.l_type == F_WRLCK ? "w " : "r ") + std::to_string(wanted.l_start) + " " +
         std::to_string(wanted.l_len) + " of " + std::to_string(wanted.l_pid);
}

std::string on_slot(const std::string& verb, std::istringstream& line) {
  int slot = 0;
  line >> slot;
  if (verb == "open") {
    std::string flags;
    line >> flags;
    const int fd = ::open(rest_of(line).c_str(), flags_of(flags), 0644);
    if (fd >= 0) slots[slot] = fd;
    return verdict(fd);
  }
  const int fd = slots.at(slot);
  if (verb == "write") {
    const std::string text = rest_of(line);
    return verdict(::write(fd, text.data(), text.size()));
  }
  if (verb == "read") {
    std::string text(65536, '\0');
    const auto n = ::read(fd, text.data(), text.size());
    return n < 0 ? verdict(n) : text.substr(0, static_cast<std::size_t>(n));
  }
  if (verb == "close") {
    slots.erase(slot);
    return verdict(::close(fd));
  }
  if (verb == "dup") {
    int to = 0;
    line >> to;
    slots[to] = ::dup(fd);
    return verdict(slots[to]);
  }
  if (verb == "sync") return verdict(::fsync(fd));
  if (verb == "lock") return lock(fd, line);
  if (verb == "locked") return locked(fd, line);
  std::size_t size = 0;
  line >> size;
  if (verb == "truncate") return verdict(::ftruncate(fd, static_cast<off_t>(size)));
  if (verb == "map") {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return verdict(-1);
    mapped = static_cast<char*>(at);
    mapped_bytes = size;
    return "ok";
  }
  return "unknown";
}

std::string act(const std::string& verb, std::istringstream& line) {
  if (verb == "pid") return std::to_string(::getpid());
  if (verb == "apart")
    return verdict(::unshare(CLONE_NEWNS) == 0 ? ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)
                                               : -1);
  if (verb == "msync") return verdict(::msync(mapped, mapped_bytes, MS_SYNC));
  if (verb == "unmap") return verdict(::munmap(mapped, mapped_bytes));
  if (verb == "poke") {
    std::size_t offset = 0;
    line >> offset;
    const std::string text = rest_of(line);
    std::memcpy(mapped + offset, text.data(), text.size());
    return "ok";
  }
  if (verb == "handle" || verb == "break") {
    int signal = 0;
    line >> signal;
    struct sigaction action {};
    action.sa_handler = [](int) {};
    action.sa_flags = verb == "handle" ? SA_RESTART : 0;
    return verdict(::sigaction(signal, &action, nullptr));
  }
  if (verb == "fork") {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(1);
      for (;;) ::pause();
    }
    return child < 0 ? verdict(child) : std::to_string(child);
  }
  if (verb == "become") {
    const std::string program = rest_of(line);
    return verdict(::execlp(program.c_str(), program.c_str(), nullptr));
  }
  if (verb == "run") {
    const std::string program = rest_of(line);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(1);
      ::execlp(program.c_str(), program.c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    return verdict(child < 0 ? child : ::waitpid(child, &status, 0)) +
           (status == 0 ? "" : " " + std::to_string(status));
  }
  return on_slot(verb, line);
}

}  // namespace

int main() {
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream line(text);
    std::string verb;
    line >> verb;
    if (verb == "exit") return 0;
    std::cout << act(verb, line) << std::endl;
  }
  return 0;
}
