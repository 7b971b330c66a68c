#include "proxy/server/supervisor.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "proxy/base/text.h"
#include "proxy/observe/flight_ledger.h"
#include "proxy/server/socket_stock.h"

namespace sluice::server {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kLongestPause = std::chrono::seconds(5);
// Serving for so long, the past is forgotten: whoever crashes now and then is back at once.
constexpr Duration kWell = std::chrono::seconds(1);

bool is_program(const std::string& path, const struct stat& self) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && status.st_dev == self.st_dev &&
         status.st_ino == self.st_ino;
}

std::string absolute(const std::string& path) {
  char folder[PATH_MAX];
  if (path.starts_with("/") || ::getcwd(folder, sizeof folder) == nullptr) return path;
  return std::string(folder) + "/" + path;
}

}  // namespace

std::string path_of_program(const char* first_word) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", target, sizeof target);
  const std::string real = size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
  struct stat self {};
  const std::string word = first_word == nullptr ? "" : first_word;
  if (::stat("/proc/self/exe", &self) != 0) return absolute(word);
  if (word.find('/') != std::string::npos) {
    return is_program(word, self) ? absolute(word) : real;
  }
  const char* const path = std::getenv("PATH");
  const std::string folders = path == nullptr ? "" : path;
  for (const std::string_view folder : split(folders, ':')) {
    const std::string candidate = std::string(folder) + "/" + word;
    if (!folder.empty() && is_program(candidate, self)) return absolute(candidate);
  }
  return real;
}

Supervisor::Return Supervisor::run() {
  manager_ = ServiceManager::from_environment();
  for (PassedSocket& socket : take_passed_sockets()) {
    const std::string local = net::SocketAddress::of_local(socket.fd.get()).text();
    keep_socket(std::string(SocketStock::kPassed) + "\t" + socket.name + "\t" + local,
                std::move(socket.fd));
  }
  if (!start_signals()) return {1, {}};
  if (spawn(Child::State::kStarting, How::kFork, "")) return {std::nullopt, std::move(newborn_)};
  while (!is_over()) {
    if (restart_if_due()) return {std::nullopt, std::move(newborn_)};
    wait();
  }
  return {*exit_code_ == 0 && cut_ ? 1 : *exit_code_, {}};
}

bool Supervisor::start_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&set, number);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_.is_open()) log("error", "signalfd failed");
  return signals_.is_open();
}

// Everything happens from here: a signal, a word of a child, or a time that has come.
void Supervisor::wait() {
  std::vector<pollfd> watched{{signals_.get(), POLLIN, 0}};
  std::vector<Child*> speakers;
  for (const auto& child : children_) {
    if (child->silent) continue;
    watched.push_back({child->channel.descriptor(), POLLIN, 0});
    speakers.push_back(child.get());
  }
  int timeout = -1;
  for (const auto& due : {restart_at_, upgrade_until_}) {
    if (!due) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - steady_now()).count();
    const int ms = static_cast<int>(std::max<int64_t>(left, 0));
    timeout = timeout < 0 ? ms : std::min(timeout, ms);
  }
  if (::poll(watched.data(), watched.size(), timeout) < 0) return;
  for (size_t i = 0; i < speakers.size(); ++i) {
    if (watched[i + 1].revents != 0) read(*speakers[i]);
  }
  if (watched[0].revents != 0) on_signals();
  check_upgrade();
}

void Supervisor::on_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) {
      reap();
    } else {
      on_signal(number);
    }
  }
}

void Supervisor::on_signal(int number) {
  if (number == SIGUSR2) {
    begin_upgrade(false);
    return;
  }
  const bool ends = number == SIGTERM || number == SIGQUIT || number == SIGINT;
  if (ends && !stopping_) {
    stopping_ = true;
    restart_at_.reset();
    manager_.say(Message(Word::kStopping));
    if (find(Child::State::kSuccessor) != nullptr) end_upgrade(false, "told to stop meanwhile");
  }
  for (const auto& child : children_) {
    // One that retires has no configuration to read again.
    if (number == SIGHUP && child->state == Child::State::kRetiring) continue;
    if (!child->silent) child->channel.send(Message(Word::kSignal, {}, number));
  }
}

// Whoever has no parent left is our child, too, when we are PID 1.
void Supervisor::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    const auto at = std::find_if(children_.begin(), children_.end(),
                                 [pid](const auto& child) { return child->pid == pid; });
    if (at == children_.end()) continue;
    if (!(*at)->silent) read(**at);  // its last words
    std::unique_ptr<Child> child = std::move(*at);
    children_.erase(at);
    on_end(std::move(child), status);
  }
}

void Supervisor::on_end(std::unique_ptr<Child> child, int status) {
  const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const std::string who = "process " + std::to_string(child->pid);
  if (!well) count_lost(*child);
  if (child->state == Child::State::kSuccessor) {
    if (child->draining) return upgrade_until_.reset();  // the upgrade was over before
    return end_upgrade(false, !child->complaint.empty() ? child->complaint
                              : !child->last_words.empty()
                                  ? child->last_words
                                  : "it ended before it accepted (" + end_of(status) + ")");
  }
  if (child->state == Child::State::kRetiring) {
    if (!well) log("error", "retiring " + who + ": " + end_of(status));
    cut_ = cut_ || (!well && stopping_);
    return tell(Message(Word::kPredecessorGone));
  }
  if (well || !has_served_) {
    if (WIFSIGNALED(status)) log("error", who + ": " + end_of(status) + " before it accepted");
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  } else if (stopping_ || child->draining) {
    log("error", who + ": " + end_of(status) + " while it drained");
    exit_code_ = 1;
  } else {
    on_crash(*child, status);
  }
}

void Supervisor::on_crash(const Child& child, int status) {
  const TimePoint now = steady_now();
  const bool was_well = child.accepted != TimePoint{} && now - child.accepted >= kWell;
  const Duration pause = was_well ? Duration{0} : pause_;
  pause_ = std::clamp(pause * 2, kFirstPause, kLongestPause);
  const std::string label = label_of(status);
  const bool has_room = restarts_.size() < kMostReasons || restarts_.contains(label);
  ++restarts_[has_room ? label : "other"];
  restart_reason_ = "the process before (" + std::to_string(child.pid) + "): " + end_of(status);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
  const bool upgrading = find(Child::State::kSuccessor) != nullptr;
  log("error", "serving process " + std::to_string(child.pid) + ": " + end_of(status) +
                   (upgrading ? "; the one that is starting will serve"
                    : ms == 0 ? "; starting it again now"
                              : "; starting it again in " + std::to_string(ms) + " ms"));
  if (!upgrading) restart_at_ = now + pause;
}

void Supervisor::count_lost(const Child& child) {
  if (!child.ledger.is_open()) return;
  const auto lost = observe::FlightLedger::read(child.ledger.get());
  if (lost.requests == 0 && lost.connections == 0) return;
  lost_.requests += lost.requests;
  lost_.connections += lost.connections;
  log("error", "process " + std::to_string(child.pid) + " had " + std::to_string(lost.requests) +
                   " requests in hand, which are lost, and " + std::to_string(lost.connections) +
                   " connections that waited for one");
}

bool Supervisor::restart_if_due() {
  if (!restart_at_ || steady_now() < *restart_at_) return false;
  restart_at_.reset();
  return spawn(Child::State::kStarting, binary_.is_open() ? How::kExec : How::kFork,
               restart_reason_);
}

// The others are told to end, once, and waited for; who never accepted has nothing to finish.
bool Supervisor::is_over() {
  if (stopping_ && children_.empty() && !exit_code_) exit_code_ = 1;  // between two crashes
  if (!exit_code_) return false;
  for (const auto& child : children_) {
    if (child->state == Child::State::kSuccessor && child->accepted == TimePoint{}) {
      ::kill(child->pid, SIGKILL);
    } else if (!stopping_) {
      child->channel.send(Message(Word::kSignal, {}, SIGTERM));
    }
  }
  stopping_ = true;
  return children_.empty();
}

void Supervisor::log(std::string_view level, const std::string& text) const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  char time[64];
  const size_t size = std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &utc);
  std::string line(time, size);
  const std::string ms = std::to_string(now.tv_nsec / 1'000'000 + 1000);
  line += "." + ms.substr(1) + "Z " + std::string(level) + " supervisor: " + text + "\n";
  // One write, so that lines of several processes do not mix; a reader that is stuck loses it.
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
}

}  // namespace sluice::server
