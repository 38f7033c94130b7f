/* Decoded documents as JSON, with the names of docs/protocol.md. */
#ifndef INSULA_DOCUMENT_JSON_H
#define INSULA_DOCUMENT_JSON_H

#include "document.h"
#include "json.h"

static void print_rlimits(const struct process_spec *process)
{
	open_list("rlimits");
	for (uint32_t i = 0; i < process->limit_count; i++) {
		key(NULL);
		begin('{');
		number("resource", process->limits[i].resource);
		number("soft", process->limits[i].soft);
		number("hard", process->limits[i].hard);
		finish('}');
	}
	finish(']');
}

static void print_process(const struct process_spec *process)
{
	begin('{');
	number("process", process->number);
	number("flags", process->flags);
	number("rows", process->rows);
	number("columns", process->columns);
	texts("arguments", process->arguments);
	texts("environment", process->environment);
	text("directory", process->directory);
	text("user", process->user);
	texts("groups", process->groups);
	number("bounding", process->bounding);
	number("effective", process->effective);
	number("permitted", process->permitted);
	number("inheritable", process->inheritable);
	number("ambient", process->ambient);
	print_rlimits(process);
	hex("seccomp", process->seccomp.data, process->seccomp.size);
	integer("oom_score_adj", process->oom_score_adj);
	number("umask", process->umask);
	finish('}');
}

static void print_mounts(const struct boot_document *boot)
{
	open_list("mounts");
	for (uint32_t i = 0; i < boot->mount_count; i++) {
		key(NULL);
		begin('{');
		number("kind", boot->mounts[i].kind);
		text("source", boot->mounts[i].source);
		text("target", boot->mounts[i].target);
		number("flags", boot->mounts[i].flags);
		text("data", boot->mounts[i].data);
		finish('}');
	}
	finish(']');
}

static void print_files(const struct boot_document *boot)
{
	open_list("files");
	for (uint32_t i = 0; i < boot->file_count; i++) {
		key(NULL);
		begin('{');
		text("path", boot->files[i].path);
		number("mode", boot->files[i].mode);
		hex("content", boot->files[i].content.data, boot->files[i].content.size);
		finish('}');
	}
	finish(']');
}

static void print_link(const struct link_spec *link)
{
	begin('{');
	number("nic", link->nic);
	text("name", link->name);
	hex("mac", link->mac, sizeof(link->mac));
	number("mtu", link->mtu);
	open_list("addresses");
	for (uint32_t i = 0; i < link->address_count; i++) {
		key(NULL);
		begin('{');
		number("family", link->addresses[i].family);
		hex("address", link->addresses[i].address, 16);
		number("prefix", link->addresses[i].prefix);
		finish('}');
	}
	finish(']');
	open_list("routes");
	for (uint32_t i = 0; i < link->route_count; i++) {
		key(NULL);
		begin('{');
		number("family", link->routes[i].family);
		hex("destination", link->routes[i].destination, 16);
		number("prefix", link->routes[i].prefix);
		hex("gateway", link->routes[i].gateway, 16);
		finish('}');
	}
	finish(']');
	finish('}');
}

static void print_lists(const struct boot_document *boot)
{
	print_mounts(boot);
	texts("masked", boot->masked);
	texts("readonly", boot->readonly);
	print_files(boot);
	open_list("links");
	for (uint32_t i = 0; i < boot->link_count; i++) {
		key(NULL);
		print_link(&boot->links[i]);
	}
	finish(']');
	open_list("sysctls");
	for (uint32_t i = 0; i < boot->sysctl_count; i++) {
		key(NULL);
		begin('{');
		text("path", boot->sysctls[i].path);
		text("value", boot->sysctls[i].value);
		finish('}');
	}
	finish(']');
}

static void print_limits(const struct limits *limits)
{
	static const char *const names[IO_RATES] = {"read_bps", "write_bps", "read_iops", "write_iops"};

	begin('{');
	number("memory", limits->memory);
	number("memory_low", limits->memory_low);
	number("cpu_quota", limits->cpu_quota);
	number("cpu_period", limits->cpu_period);
	number("cpu_weight", limits->cpu_weight);
	text("cpuset_cpus", limits->cpuset_cpus);
	text("cpuset_mems", limits->cpuset_mems);
	number("pids", limits->pids);
	number("io_weight", limits->io_weight);
	open_list("io");
	for (uint32_t i = 0; i < limits->io_count; i++) {
		key(NULL);
		begin('{');
		for (int rate = 0; rate < IO_RATES; rate++)
			number(names[rate], limits->io[i].rates[rate]);
		finish('}');
	}
	finish(']');
	finish('}');
}

static void print_boot(const struct boot_document *boot)
{
	begin('{');
	number("boot_number", boot->number);
	number("clock", boot->clock);
	hex("entropy", boot->entropy.data, boot->entropy.size);
	text("hostname", boot->hostname);
	text("domainname", boot->domainname);
	number("root", boot->root);
	open_list("layers");
	for (uint32_t i = 0; i < boot->layer_count; i++)
		number(NULL, boot->layers[i]);
	finish(']');
	key("writable");
	begin('{');
	number("kind", boot->writable_kind);
	number("index", boot->writable);
	finish('}');
	number("flags", boot->flags);
	print_lists(boot);
	key("limits");
	print_limits(&boot->limits);
	number("shm", boot->shm);
	key("main");
	print_process(&boot->main);
	text("reserved", ""); /* read and not kept */
	finish('}');
}

#endif
