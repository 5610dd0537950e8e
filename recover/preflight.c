#include "recover/command.h"

int preflight_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return EXIT_OK;
}
