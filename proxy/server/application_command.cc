#include "proxy/server/application_command.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "proxy/base/text.h"

namespace sluice::server {
namespace {

using std::chrono::seconds;

// What a shell gets as one word ("sh -c 'exec gunicorn -w 4 shop.wsgi'") is taken apart at blanks;
// quoting within it is beyond what a hint needs.
std::vector<std::string> split(const std::vector<std::string>& words) {
  std::vector<std::string> all;
  for (const std::string& word : words) {
    size_t at = 0;
    while ((at = word.find_first_not_of(" \t\n;&", at)) != std::string::npos) {
      const size_t end = std::min(word.find_first_of(" \t\n;&", at), word.size());
      all.push_back(word.substr(at, end - at));
      at = end;
    }
  }
  return all;
}

bool is_program(std::string_view word, std::string_view name) {
  return word == name || word.ends_with("/" + std::string(name));
}

class Options {
 public:
  explicit Options(std::vector<std::string> words) : words_(std::move(words)) {}

  bool has(std::string_view name) const {
    return std::any_of(words_.begin(), words_.end(), [name](const std::string& word) {
      return word == name || word.starts_with(std::string(name) + "=");
    });
  }
  // "--name 4", "--name=4", "-n 4", "-n4".
  std::optional<std::string> text(std::string_view name, std::string_view letter) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      const std::string_view word = words_[i];
      const bool has_next = i + 1 < words_.size();
      if ((word == name || (!letter.empty() && word == letter)) && has_next) return words_[i + 1];
      if (word.starts_with(std::string(name) + "=")) {
        return std::string(word.substr(name.size() + 1));
      }
      if (!letter.empty() && word.starts_with(letter) && !word.starts_with("--")) {
        return std::string(word.substr(letter.size()));
      }
    }
    return std::nullopt;
  }
  uint32_t number(std::string_view name, std::string_view letter, uint32_t otherwise) const {
    const auto found = text(name, letter);
    const auto value = found ? parse_decimal(*found) : std::nullopt;
    return value ? static_cast<uint32_t>(std::min<uint64_t>(*value, UINT32_MAX)) : otherwise;
  }

 private:
  const std::vector<std::string> words_;
};

ApplicationCommand read_gunicorn(const Options& options) {
  ApplicationCommand made;
  made.server = ApplicationCommand::Server::kGunicorn;
  made.has_options_elsewhere = options.has("--config") || options.has("-c");
  made.workers = options.number("--workers", "-w", 1);
  made.threads = options.number("--threads", "", 1);
  // More than one thread makes a sync worker a gthread one.
  const std::string kind = options.text("--worker-class", "-k").value_or("sync");
  made.keeps_alive = kind != "sync" || made.threads > 1;
  made.keep_alive = seconds(options.number("--keep-alive", "", 2));
  made.timeout = seconds(options.number("--timeout", "-t", 30));
  made.graceful = seconds(options.number("--graceful-timeout", "", 30));
  made.backlog = options.number("--backlog", "", 2048);
  return made;
}

ApplicationCommand read_uwsgi(const Options& options) {
  ApplicationCommand made;
  made.server = ApplicationCommand::Server::kUwsgi;
  for (const char* file : {"--ini", "--yaml", "--xml", "--json", "-y", "-x"}) {
    made.has_options_elsewhere = made.has_options_elsewhere || options.has(file);
  }
  made.workers = options.number("--processes", "-p", options.number("--workers", "", 1));
  made.threads = options.number("--threads", "", 1);
  made.timeout = seconds(options.number("--harakiri", "-t", 0));
  made.backlog = options.number("--listen", "-l", 100);
  made.block_size = options.number("--buffer-size", "-b", 4096);
  made.dies_on_term = options.has("--die-on-term");
  return made;
}

}  // namespace

std::optional<ApplicationCommand> read_application_command(const std::vector<std::string>& words) {
  const std::vector<std::string> all = split(words);
  for (size_t i = 0; i < all.size(); ++i) {
    const bool gunicorn = is_program(all[i], "gunicorn");
    if (!gunicorn && !is_program(all[i], "uwsgi")) continue;
    const auto rest = all.begin() + static_cast<ptrdiff_t>(i);
    const Options options(std::vector<std::string>(rest + 1, all.end()));
    ApplicationCommand made = gunicorn ? read_gunicorn(options) : read_uwsgi(options);
    const auto is_shell = [](const std::string& word) {
      return is_program(word, "sh") || is_program(word, "bash");
    };
    made.shell_keeps_pid =
        std::any_of(all.begin(), rest, is_shell) && (i == 0 || all[i - 1] != "exec");
    return made;
  }
  return std::nullopt;
}

}  // namespace sluice::server
