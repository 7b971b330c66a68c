// main: the command line, and the only place that sees everything.
#include "plugins/all.h"
#include "proxy/server/commands.h"

int main(int argc, char** argv) {
  sluice::filter::Registry filters;
  sluice::plugins::register_all(filters);
  return sluice::server::run_command(argc, argv, filters, SLUICE_VERSION);
}
