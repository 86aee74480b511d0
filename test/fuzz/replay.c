/*
 * replay.c
 *		Runs a fuzz target on each file of the folders that are given, once, in
 *		place of libFuzzer: with any compiler, and the same lines each time.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Hands the target one file, in a block of exactly its size. */
static int
replay_file(const char *path)
{
	struct stat st;
	FILE	   *file = fopen(path, "rb");
	uint8_t    *data;
	size_t		size;

	if (file == NULL || fstat(fileno(file), &st) != 0)
	{
		perror(path);
		return 1;
	}
	size = (size_t) st.st_size;
	data = malloc(size == 0 ? 1 : size);
	REQUIRE(data != NULL && fread(data, 1, size, file) == size);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

/* Returns how many files were there, or -1 if one could not be read. */
static int
replay_folder(const char *folder)
{
	DIR		   *dir = opendir(folder);
	struct dirent *entry;
	char		path[4096];
	int			files = 0;

	if (dir == NULL)
	{
		perror(folder);
		return -1;
	}
	while (files >= 0 && (entry = readdir(dir)) != NULL)
	{
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		files = replay_file(path) == 0 ? files + 1 : -1;
	}
	closedir(dir);
	return files;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		int			files = replay_folder(argv[i]);

		if (files <= 0)
		{
			fprintf(stderr, "%s: no seed was run\n", argv[i]);
			return 1;
		}
	}
	return 0;
}
