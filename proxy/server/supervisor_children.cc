// The supervisor's children: how they are made, what they are told, and what they say.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "proxy/server/supervisor.h"

namespace sluice::server {
namespace {

constexpr Duration kSpawnPause = std::chrono::seconds(1);

Role role_of(Child::State state, const std::string& reason) {
  if (state == Child::State::kSuccessor) return Role::kSuccessor;
  return reason.empty() ? Role::kFirst : Role::kRestarted;
}

}  // namespace

// True in the forked child, which goes its own way. An executed one never comes back.
bool Supervisor::spawn(Child::State state, How how, const std::string& reason) {
  auto ends = Channel::make();
  const pid_t pid = ends ? ::fork() : -1;
  if (pid < 0) {
    const std::string why = std::string("cannot fork: ") + std::strerror(errno);
    log("error", why);
    if (state == Child::State::kSuccessor) {
      end_upgrade(false, why);
    } else {
      restart_reason_ = why;
      restart_at_ = steady_now() + kSpawnPause;
    }
    return false;
  }
  if (pid == 0) {
    if (how == How::kExec) execute(std::move(ends->second));
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    ::sigprocmask(SIG_UNBLOCK, &children, nullptr);
    newborn_ = std::move(ends->second);
    return true;
  }
  auto child = std::make_unique<Child>();
  child->pid = pid;
  child->state = state;
  child->channel = std::move(ends->first);
  welcome(*child, reason);
  children_.push_back(std::move(child));
  return false;
}

// In the child. The path, when what serves still stands there or an upgrade is wanted; else the
// very file that serves.
void Supervisor::execute(Channel channel) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::fcntl(channel.descriptor(), F_SETFD, 0);
  ::setenv(kChannelVariable, std::to_string(channel.descriptor()).c_str(), 1);
  std::vector<char*> words;
  for (const std::string& word : options_.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  struct stat there {};
  struct stat serving {};
  const bool is_moved = binary_.is_open() && !upgrade_until_ &&
                        ::fstat(binary_.get(), &serving) == 0 &&
                        (::stat(options_.binary.c_str(), &there) != 0 ||
                         there.st_ino != serving.st_ino || there.st_dev != serving.st_dev);
  if (is_moved) ::execveat(binary_.get(), "", words.data(), ::environ, AT_EMPTY_PATH);
  ::execv(options_.binary.c_str(), words.data());
  const std::string why = "cannot execute " + options_.binary + ": " + std::strerror(errno);
  channel.send(Message(Word::kFailed, why));
  ::_exit(127);
}

void Supervisor::welcome(Child& child, const std::string& reason) {
  const auto role = static_cast<int64_t>(role_of(child.state, reason));
  child.channel.send(Message(Word::kWelcome, reason, role));
  for (const Socket& socket : sockets_) {
    child.channel.send(Message(Word::kSocket, socket.name), socket.fd.get());
  }
  for (const Message& message : told()) child.channel.send(message);
  if (proven_) child.channel.send(Message(Word::kProven));
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(manager_.watchdog());
  if (ms.count() > 0) child.channel.send(Message(Word::kWatchdog, {}, ms.count()));
  child.channel.send(Message(Word::kBegin));
}

void Supervisor::read(Child& child) {
  for (;;) {
    Message message;
    Fd with;
    const Channel::Got got = child.channel.receive(message, with);
    if (got == Channel::Got::kNothing) return;
    if (got == Channel::Got::kMessage) {
      hear(child, message, std::move(with));
      continue;
    }
    child.silent = true;
    child.channel.close();
    if (child.state == Child::State::kSuccessor && upgrade_until_) {
      // It is about to end, or of another protocol, and then it is not waited for.
      upgrade_until_ = std::min(*upgrade_until_, steady_now() + kSpawnPause);
    }
    return;
  }
}

void Supervisor::hear(Child& child, const Message& message, Fd with) {
  const bool serves = child.state == Child::State::kServing;
  switch (message.word) {
    case Word::kLedger: child.ledger = std::move(with); return;
    case Word::kSocket: return keep_socket(std::string(message.text()), std::move(with));
    case Word::kSocketGone:
      // What a retiring process lets go is its successor's.
      if (child.state != Child::State::kRetiring) forget_socket(message.text());
      return;
    case Word::kAccepting: return on_accepting(child, message);
    case Word::kReloading:
    case Word::kAlive:
      if (serves) manager_.say(message);
      return;
    case Word::kReady:
      child.draining = false;
      if (serves) manager_.say(message);
      return;
    case Word::kStopping:
      child.draining = true;
      if (serves) manager_.say(message);
      if (serves && find(Child::State::kSuccessor) != nullptr) {
        end_upgrade(false, "told to stop meanwhile");
      }
      return;
    case Word::kProven: proven_ = true; return;
    case Word::kFailed: child.complaint = message.text(); return;
    case Word::kUpgrade:
      if (serves) begin_upgrade(true);
      return;
    case Word::kCounters:
      if (Child* const heir = find(Child::State::kServing); heir != nullptr && heir != &child) {
        heir->channel.send(message, with.get());
      }
      return;
    default: return;  // nothing a child says
  }
}

void Supervisor::keep_socket(std::string name, Fd fd) {
  if (!fd.is_open()) return;
  forget_socket(name);
  if (sockets_.size() == kMostSockets) {
    return log("error", "too many listening sockets: a crash would close " + name);
  }
  sockets_.push_back({std::move(name), std::move(fd)});
}

void Supervisor::forget_socket(std::string_view name) {
  std::erase_if(sockets_, [name](const Socket& socket) { return socket.name == name; });
}

Child* Supervisor::find(Child::State state) {
  for (const auto& child : children_) {
    if (child->state == state) return child.get();
  }
  return nullptr;
}

void Supervisor::tell(const Message& message) {
  for (const auto& child : children_) {
    const bool is_it =
        child->state == Child::State::kServing || child->state == Child::State::kStarting;
    if (is_it && !child->silent) child->channel.send(message);
  }
}

std::vector<Message> Supervisor::told() const {
  std::vector<Message> all;
  for (const auto& [reason, count] : restarts_) {
    all.emplace_back(Word::kTold,
                     "sluice_restarts_total\tTimes the serving process was started again, by how "
                     "the one before ended.\treason\t" +
                         reason,
                     count);
  }
  const std::string upgrades =
      "sluice_upgrades_total\tUpgrades of the program, by result.\tresult\t";
  all.emplace_back(Word::kTold, upgrades + "success", upgrades_);
  all.emplace_back(Word::kTold, upgrades + "failure", failed_upgrades_);
  const std::string dropped =
      "sluice_dropped_total\tRequests and connections not served or broken off, by "
      "reason.\treason\t";
  if (lost_.requests > 0) all.emplace_back(Word::kTold, dropped + "crash", lost_.requests);
  if (lost_.connections > 0) {
    all.emplace_back(Word::kTold, dropped + "crash_waiting", lost_.connections);
  }
  return all;
}

}  // namespace sluice::server
