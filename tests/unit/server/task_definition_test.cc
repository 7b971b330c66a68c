#include "proxy/server/task_definition.h"

#include <chrono>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "proxy/server/application_command.h"

using namespace sluice::server;
using namespace std::chrono_literals;

TEST_CASE("task definition: the one that ships is read") {
  std::ifstream file(SLUICE_SOURCE_DIR "/conf/ecs/task-definition.json");
  const auto task = parse_task_definition(std::string(std::istreambuf_iterator<char>(file), {}));
  REQUIRE(task);
  CHECK(task->cpu == 0.25);
  REQUIRE(task->containers.size() == 2);
  const ContainerDefinition* own = task->find("sluice");
  REQUIRE(own);
  CHECK(own->stop_timeout == 30s);
  CHECK(own->open_files == 65535);
  CHECK(own->read_only);
  CHECK(own->user == "65532:65532");
  CHECK(own->depends_on_container("django"));
  CHECK(own->health_check.size() == 3);
  CHECK(own->environment.at(1) ==
        std::pair<std::string, std::string>("SLUICE_WORKERS_OF_APP", "4"));
  const auto command = read_application_command(task->find("django")->command);
  REQUIRE(command);
  CHECK(command->server == ApplicationCommand::Server::kUwsgi);
  CHECK(command->workers == 4);
  CHECK(command->dies_on_term);
  CHECK(command->block_size == 32768);
  CHECK(command->timeout == 60s);
}

TEST_CASE("task definition: what describe-task-definition prints is read, nonsense is refused") {
  CHECK(parse_task_definition(R"({"taskDefinition":{"containerDefinitions":[{"name":"a"}]}})"));
  CHECK_FALSE(parse_task_definition("{}"));
  CHECK_FALSE(parse_task_definition("[]"));
  CHECK_FALSE(parse_task_definition("cpu: 1"));
  const auto odd = parse_task_definition(
      R"({"cpu":[],"containerDefinitions":[3,{"name":7,"dependsOn":[1],"ulimits":[{}],"command":"x",
          "stopTimeout":"40"}]})");
  REQUIRE(odd);
  CHECK(odd->containers[0].name.empty());
  CHECK(odd->containers[0].command.empty());
  CHECK(odd->containers[0].stop_timeout == 40s);
}

TEST_CASE("application command: gunicorn with its defaults and its options") {
  const auto plain = read_application_command({"gunicorn", "shop.wsgi"});
  REQUIRE(plain);
  CHECK(plain->workers == 1);
  CHECK_FALSE(plain->keeps_alive);
  CHECK(plain->timeout == 30s);
  CHECK(plain->graceful == 30s);
  CHECK(plain->backlog == 2048);
  const auto set = read_application_command(
      {"/venv/bin/gunicorn", "-w3", "--threads=2", "--keep-alive", "5", "-t", "90", "shop.wsgi"});
  REQUIRE(set);
  CHECK(set->workers == 3);
  CHECK(set->threads == 2);
  CHECK(set->keeps_alive);
  CHECK(set->keep_alive == 5s);
  CHECK(set->timeout == 90s);
}

TEST_CASE("application command: uWSGI, files of options, shells with and without exec") {
  const auto uwsgi = read_application_command({"uwsgi", "--socket", ":8000", "--ini", "u.ini"});
  REQUIRE(uwsgi);
  CHECK(uwsgi->server == ApplicationCommand::Server::kUwsgi);
  CHECK(uwsgi->has_options_elsewhere);
  CHECK_FALSE(uwsgi->dies_on_term);
  CHECK(uwsgi->block_size == 4096);
  const auto shell = read_application_command({"sh", "-c", "python m.py migrate && uwsgi -p 2"});
  REQUIRE(shell);
  CHECK(shell->shell_keeps_pid);
  CHECK(shell->workers == 2);
  const auto exec = read_application_command({"sh", "-c", "exec gunicorn -w 2 shop.wsgi"});
  REQUIRE(exec);
  CHECK_FALSE(exec->shell_keeps_pid);
  CHECK_FALSE(read_application_command({"python", "manage.py", "runserver"}));
  CHECK_FALSE(read_application_command({}));
}
